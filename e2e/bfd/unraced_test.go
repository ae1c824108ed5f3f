//go:build !race

package bfd

const raced = false
