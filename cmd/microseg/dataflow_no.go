//go:build !dataflow

package main

const withDataflow = false
