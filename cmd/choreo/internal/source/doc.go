// Package source finds what an argument of the command line names: a file, a folder, either of
// them as it was in a git revision ("main:sagas/order.yaml"), or the subject of a schema
// registry ("subject:NAME@3").
//
// Revisions are read through the git program: it knows every form of repository, worktree
// and partial clone, where a library in its place would bring a dozen modules along and know
// fewer. Nothing is checked out, and nothing in the repository changes.
package source
