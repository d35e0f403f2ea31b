//go:build !unix

package httpserver

func fileLimit() int { return usualFiles }
