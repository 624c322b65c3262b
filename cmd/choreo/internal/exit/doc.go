// Package exit says with which code the command line ends, and classifies errors into
// codes.
package exit
