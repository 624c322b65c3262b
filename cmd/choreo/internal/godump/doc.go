// Package godump writes the definitions of a Go package as YAML, with the schemas of their
// payloads.
//
// What a definition is, only the package's own code knows: it is a value that is made when the
// program starts. So a small program that imports the package is made up and run by the go
// command. It lies in the package's folder, since an internal package lets in nobody else, but
// only as an overlay: nothing is written there, however the run ends.
package godump
