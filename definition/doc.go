// Package definition makes a choreography an artefact that is checked before anything runs: a
// file that services of all languages share, compare and agree on.
//
// A [Document] is a [choreo.Definition] together with the schemas of its payloads. It comes from
// YAML by [Load], [LoadFile] or [Parse], or from Go by [FromGo], and goes back to YAML by
// [Format] and [Document.Save]. [Lint] finds what is wrong with documents, [Diff] says what a
// change means to running sagas, and [Compare] holds what a service is about to do against
// the [Contract] that others have published.
package definition
