package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// getTimeout bounds one fetch.
const getTimeout = 2 * time.Second

// get fetches a page and writes it to out.
func get(ctx context.Context, url string, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("getting %s: %s", url, response.Status)
	}
	_, err = io.Copy(out, response.Body)
	return err
}
