// Package budget counts and measures, on a real cluster, what Belfry costs it: writes to the API server, memory.
package budget
