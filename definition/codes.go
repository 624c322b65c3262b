package definition

import "slices"

// CodeInfo explains a [Code].
type CodeInfo struct {
	Code Code
	// From says who finds it: "file" (Load, Parse), "choreo" (its own checks), "lint",
	// "compare" or "diff".
	From string
	// Severities are those that a finding may have, Safeties those that a change may have.
	Severities []Severity
	Safeties   []Safety
	Meaning    string
}

// Codes returns all codes, as the package's documentation lists them.
func Codes() []CodeInfo {
	return slices.Concat(fileCodes(), choreoCodes(), lintCodes(), compareCodes(), diffCodes())
}

// faults are codes whose findings are all errors.
func faults(from string, meanings [][2]string) []CodeInfo {
	codes := make([]CodeInfo, len(meanings))
	for i, m := range meanings {
		codes[i] = CodeInfo{Code: Code(m[0]), From: from, Severities: []Severity{Error}, Meaning: m[1]}
	}
	return codes
}

func fileCodes() []CodeInfo {
	return faults("file", [][2]string{
		{"yaml", "the file is no YAML, is empty, or holds a second document"},
		{"too-large", "the file is larger than any definition"},
		{"unknown-key", "there is no such key at this place"},
		{"duplicate-key", "a key stands there twice"},
		{"missing-key", "a key is not there that must be"},
		{"wrong-type", "a value is of another type than its key wants"},
		{"encoding", "an encoding is no media type"},
		{"schema-file", "the file of a schema cannot be used"},
		{"view", "a step reads something by a schema of its own that it does not read at all"},
		{"unknown-payload", "a step reads by a payload that is not there"},
	})
}

func choreoCodes() []CodeInfo {
	return faults("choreo", [][2]string{
		{"name", "a name does not suit topics, events and shells"},
		{"version", "versions start at 1"},
		{"no-steps", "a saga needs a step"},
		{"no-owner", "nobody owns a step"},
		{"duplicate-step", "a step is defined twice"},
		{"unknown-step", "a step is named that is not there"},
		{"duplicate-reference", "a step is named twice in one list"},
		{"cycle", "steps wait for each other in a circle"},
		{"strategy", "there is no such order of compensation"},
		{"pivots", "there are two pivots"},
		{"pivot", "the pivot may be bypassed"},
		{"beside-pivot", "a step runs beside the pivot"},
		{"past-pivot", "a step past the pivot could refuse or be undone"},
		{"condition", "a condition has no name or no function"},
		{"compensate-when", "a filter of failures has no name, no function or no use"},
		{"undo-after", "an order of undoing has no use there"},
		{"undo-cycle", "steps wait for each other to be undone"},
		{"undo-data", "a compensation needs data that nobody carries to it"},
		{"uses", "a step reads an output that may not exist yet"},
		{"type", "the Go types of two steps do not meet"},
		{"payload-name", "two Go types have one name"},
		{"refusals", "a code of refusal is empty or there twice"},
		{"deadline", "the deadline is negative"},
		{"timeout", "a timeout is negative"},
		{"retry", "a retry policy makes no sense"},
		{"binding", "a function is given for a name that no step has"},
	})
}

func lintCodes() []CodeInfo {
	errors, warnings, infos := []Severity{Error}, []Severity{Warning}, []Severity{Info}
	either := []Severity{Error, Warning}
	return []CodeInfo{
		{"namespace", "lint", errors, nil, "the namespace cannot begin the names of topics"},
		{"duplicate-version", "lint", errors, nil, "two documents are one version of one saga"},
		{"unknown-owner", "lint", errors, nil, "a step is owned by none of the services"},
		{"bad-schema", "lint", errors, nil, "a schema cannot be understood"},
		{"schema-kind", "lint", errors, nil, "a schema is of another kind than the payload's encoding"},
		{"cannot-read", "lint", either, nil, "a reader's schema does not read what the writer's writes"},
		{"no-schema", "lint", []Severity{Warning, Info}, nil, "a payload has no schema"},
		{"versions-differ", "lint", warnings, nil, "two versions of a saga write records of one name that one cannot read as the other"},
		{"uses-repeats", "lint", warnings, nil, "a step names an output that it gets already"},
		{"not-undone", "lint", warnings, nil, "what a step did stays when another refuses"},
		{"past-pivot-one-attempt", "lint", warnings, nil, "a step that can only go forward is not retried"},
		{"deadline-short", "lint", warnings, nil, "the deadline may pass while all goes as it should"},
		{"deadline-unbounded", "lint", infos, nil, "whether the deadline suffices cannot be told"},
		{"undo-long", "lint", infos, nil, "undoing may take longer than the deadline, which does not bound it"},
		{"unread-output", "lint", infos, nil, "no step reads an output"},
		{"unused-payload", "lint", infos, nil, "nothing writes or reads a payload"},
	}
}

func compareCodes() []CodeInfo {
	errors, warnings, either := []Severity{Error}, []Severity{Warning}, []Severity{Error, Warning}
	return []CodeInfo{
		{"fingerprint-differs", "compare", either, nil, "another service runs another definition under the same version"},
		{"two-owners", "compare", errors, nil, "two services own one step"},
		{"not-owned", "compare", errors, nil, "the owner of a step does not know that it is"},
		{"version-unknown", "compare", warnings, nil, "a service that owns a step does not know the version yet"},
		{"cannot-read", "compare", either, nil, "one service does not read what another writes"},
	}
}

func diffCodes() []CodeInfo {
	course := []Safety{UnsafeForRunning, Informational}
	agreed := []Safety{NeedsNewVersion, Informational}
	read := []Safety{Safe, UnsafeForRunning, Informational}
	safe, told := []Safety{Safe}, []Safety{Informational}
	return []CodeInfo{
		{"other-saga", "diff", nil, told, "the documents are of different sagas"},
		{"version-changed", "diff", nil, told, "it is another version"},
		{"service-added", "diff", nil, told, "a service takes part that did not"},
		{"service-removed", "diff", nil, told, "a service takes no part any more"},
		{"step-added", "diff", nil, course, "a step is new"},
		{"step-removed", "diff", nil, course, "a step is gone"},
		{"owner-changed", "diff", nil, course, "a step has another owner"},
		{"after-changed", "diff", nil, course, "a step waits for others"},
		{"uses-changed", "diff", nil, course, "a step is carried other outputs"},
		{"undo-after-changed", "diff", nil, course, "a step is undone after others"},
		{"compensation-changed", "diff", nil, course, "steps are undone in another order, or a step now or no more"},
		{"pivot-changed", "diff", nil, course, "a step became the pivot, or is it no more"},
		{"optional-changed", "diff", nil, course, "a step became optional, or is it no more"},
		{"condition-changed", "diff", nil, []Safety{UnsafeForRunning, NeedsNewVersion, Informational}, "a step runs on another condition"},
		{"filter-changed", "diff", nil, []Safety{UnsafeForRunning, NeedsNewVersion, Informational}, "another filter decides at a step's failure"},
		{"encoding-changed", "diff", nil, agreed, "a payload is encoded in another way"},
		{"schema-changed", "diff", nil, read, "a payload has another schema"},
		{"view-changed", "diff", nil, read, "a step reads by another schema"},
		{"schema-added", "diff", nil, safe, "a payload got a schema"},
		{"schema-removed", "diff", nil, safe, "a payload has no schema any more"},
		{"payload-renamed", "diff", nil, safe, "a payload has another name"},
		{"deadline-changed", "diff", nil, safe, "the deadline is another"},
		{"timeout-changed", "diff", nil, safe, "a timeout is another"},
		{"retry-changed", "diff", nil, safe, "a retry policy is another"},
		{"refusals-changed", "diff", nil, safe, "a step may refuse with other codes"},
	}
}
