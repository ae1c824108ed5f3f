//go:build race

package speaker

const raced = true
