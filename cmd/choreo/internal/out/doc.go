// Package out writes what a command found: as text for people, in lines of the terminal's
// width, or as JSON for programs.
package out
