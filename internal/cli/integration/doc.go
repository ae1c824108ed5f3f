// Package integration runs the plugin against a real API server, by scripts that show what one sees.
package integration
