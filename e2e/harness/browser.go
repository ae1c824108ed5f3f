package harness

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/belfry-lb/belfry/e2e/cluster"
)

// Browser is a real Chromium without a window, spoken to in the DevTools protocol over a pipe.
type Browser struct {
	cmd     *exec.Cmd
	to      io.WriteCloser
	from    *bufio.Reader
	profile string
	next    int
	session string
}

// browserPackages are Debian's Chromium and what it writes with.
var browserPackages = []string{"chromium-headless-shell", "fonts-dejavu-core"}

// StartBrowser starts Debian's Chromium, unpacked into the cache and not installed, with one page of this size.
func StartBrowser(ctx context.Context, log io.Writer, width, height int, dark bool) (*Browser, error) {
	root, err := cluster.Packages(ctx, log, browserPackages...)
	if err != nil {
		return nil, err
	}
	profile, err := os.MkdirTemp("", "belfry-browser-")
	if err != nil {
		return nil, err
	}
	libraries := filepath.Join(root, "usr", "lib", "x86_64-linux-gnu")
	cmd := exec.CommandContext(ctx, filepath.Join(root, "usr", "lib", "chromium", "chromium-headless-shell"),
		"--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-pipe", "--user-data-dir="+profile)
	fonts := filepath.Join(profile, "fonts.conf")
	if err := os.WriteFile(fonts, []byte(`<?xml version="1.0"?><fontconfig><dir>`+filepath.Join(root, "usr", "share", "fonts")+`</dir><dir>/usr/share/fonts</dir></fontconfig>`), 0o600); err != nil {
		return nil, err
	}
	cmd.Env = []string{"HOME=" + profile, "PATH=" + os.Getenv("PATH"), "FONTCONFIG_FILE=" + fonts, "LD_LIBRARY_PATH=" + strings.Join([]string{libraries, filepath.Join(libraries, "pulseaudio"), filepath.Join(root, "lib", "x86_64-linux-gnu")}, ":")}
	b := &Browser{cmd: cmd, profile: profile}
	if err := b.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting Chromium: %w", err), os.RemoveAll(profile))
	}
	if err := b.open(width, height, dark); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// start connects the pipe: Chromium reads from descriptor 3 and writes to 4.
func (b *Browser) start() error {
	in, to, err := os.Pipe()
	if err != nil {
		return err
	}
	from, out, err := os.Pipe()
	if err != nil {
		return err
	}
	b.cmd.ExtraFiles = []*os.File{in, out}
	b.to, b.from = to, bufio.NewReader(from)
	err = b.cmd.Start()
	return errors.Join(err, in.Close(), out.Close())
}

func (b *Browser) open(width, height int, dark bool) error {
	var target struct{ TargetID string }
	if err := b.Call("Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	if err := b.Call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return err
	}
	b.session = attached.SessionID
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return errors.Join(
		b.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil),
		b.Call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil),
		b.Call("Network.enable", map[string]any{}, nil),
		b.Call("Page.enable", map[string]any{}, nil),
	)
}

// Call sends a command and reads until its answer has come. Events in between are dropped.
func (b *Browser) Call(method string, params map[string]any, answer any) error {
	b.next++
	message := map[string]any{"id": b.next, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	text, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if _, err := b.to.Write(append(text, 0)); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		raw, err := b.from.ReadBytes(0)
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		var got struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(raw[:len(raw)-1], &got); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case got.ID != b.next:
		case got.Error != nil:
			return fmt.Errorf("%s: %s", method, got.Error.Message)
		case answer == nil:
			return nil
		default:
			return json.Unmarshal(got.Result, answer)
		}
	}
}

// Go opens an address.
func (b *Browser) Go(url string) error {
	return b.Call("Page.navigate", map[string]any{"url": url}, nil)
}

// Eval runs an expression of JavaScript in the page and returns its value as a string.
func (b *Browser) Eval(expression string) (string, error) {
	var answer struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	err := b.Call("Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true}, &answer)
	if err == nil && answer.ExceptionDetails != nil {
		err = fmt.Errorf("%s: %s", answer.ExceptionDetails.Text, answer.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(answer.Result.Value), err
}

// Click clicks with the mouse into the middle of what a CSS selector finds.
func (b *Browser) Click(selector string) error {
	release, err := b.Press(selector)
	if err != nil {
		return err
	}
	return release()
}

// Press is the first half of a click; release is the other.
func (b *Browser) Press(selector string) (release func() error, err error) {
	quoted, _ := json.Marshal(selector) // a string
	place, err := b.Eval(fmt.Sprintf(`(() => { const e = document.querySelector(%s); e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect(); return JSON.stringify([r.x + r.width / 2, r.y + r.height / 2]); })()`, quoted))
	if err != nil {
		return nil, err
	}
	var at [2]float64
	if err := json.Unmarshal([]byte(place), &at); err != nil {
		return nil, err
	}
	mouse := func(kind string) error {
		return b.Call("Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1}, nil)
	}
	return func() error { return mouse("mouseReleased") }, mouse("mousePressed")
}

// Screenshot writes what one sees into a file.
func (b *Browser) Screenshot(file string) error {
	var answer struct{ Data string }
	if err := b.Call("Page.captureScreenshot", map[string]any{"format": "png"}, &answer); err != nil {
		return err
	}
	image, err := base64.StdEncoding.DecodeString(answer.Data)
	if err != nil {
		return err
	}
	return os.WriteFile(file, image, 0o600)
}

// Close ends the browser.
func (b *Browser) Close() error {
	_ = b.to.Close() // it ends when nobody speaks to it any more
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	return Eventually(context.Background(), "the end of what the browser has started, which writes into its profile", func(context.Context) error {
		return os.RemoveAll(b.profile)
	})
}
