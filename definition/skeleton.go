package definition

import (
	"errors"
)

// Code names a kind of finding or change. Codes are stable; the package's documentation
// lists them.
type Code string

var errSkeleton = errors.New("definition: not written yet")

// LintConfig says what documents are held against. The zero value checks them by themselves.
type LintConfig struct {
	// Services are all services that there are: a step of another owner is an error.
	// Default: owners are not checked.
	Services []string
	// Namespace is the first part of the topic names. Default: "choreo".
	Namespace string
}

// Lint returns what is to be said about documents, in the order of files and places. Several
// versions of one saga are also held against each other.
func Lint(docs []*Document, config *LintConfig) []Finding { return nil }

// LintFiles loads all files and lints what could be read: faults of files are findings, too. The
// error says which file could not be read at all.
func LintFiles(paths []string, config *LintConfig) ([]Finding, error) { return nil, errSkeleton }

// Safety says what a change means to sagas that are running.
type Safety string

// The safeties.
const (
	// Safe: running sagas do not notice.
	Safe Safety = "safe"
	// UnsafeForRunning: sagas that run by the one may end wrongly by the other.
	UnsafeForRunning Safety = "unsafe-for-running"
	// NeedsNewVersion: fine for new sagas, if the definition gets another version.
	NeedsNewVersion Safety = "needs-new-version"
	// Informational: what the change asks of services and operators.
	Informational Safety = "informational"
)

// Change is one difference between two documents.
type Change struct {
	Code   Code   `json:"code"`
	Safety Safety `json:"safety"`
	Step   string `json:"step,omitempty"`
	Reason string `json:"reason"`
	WayOut string `json:"way_out,omitempty"`
}

// Diff returns how b differs from a and what each difference means to running sagas.
func Diff(a, b *Document) []Change { return nil }

// Compare returns where a contract contradicts those of other services: what it may not start
// with is of severity [Error]. An earlier contract of the same service counts as replaced.
func Compare(mine Contract, others []Contract) []Finding { return nil }
