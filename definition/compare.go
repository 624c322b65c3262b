package definition

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/choreo-go/choreo/schema/compat"
)

// Compare returns where a contract contradicts what other services have published: a service
// should not start with a finding of severity [Error]. An earlier contract of the same service
// counts as replaced, and says no more than what is worth a warning: old and new builds of
// a service run side by side while it is rolled out.
//
// A version of a saga that another service does not know yet is a [Warning]: somebody has to be
// the first.
func Compare(mine Contract, others []Contract) []Finding {
	c := &comparer{mine: mine}
	for i := range others {
		c.other = &others[i]
		for k := range mine.Definitions {
			c.my = &mine.Definitions[k]
			c.definition()
		}
	}
	sortFindings(c.findings)
	return slices.CompactFunc(c.findings, func(a, b Finding) bool { return a == b })
}

type comparer struct {
	mine     Contract
	my       *ContractDefinition
	other    *Contract
	findings []Finding
}

func (c *comparer) add(code Code, severity Severity, step, wayOut, format string, args ...any) {
	c.findings = append(c.findings, Finding{
		Code: code, Severity: severity, Definition: c.my.String(), Step: step,
		Reason: fmt.Sprintf(format, args...), WayOut: wayOut,
	})
}

// own reports whether the other contract is an earlier one of the same service.
func (c *comparer) own() bool { return c.other.Service == c.mine.Service }

// who names the other service and its build.
func (c *comparer) who() string {
	if c.other.Build == "" {
		return c.other.Service
	}
	return fmt.Sprintf("%s (build %s)", c.other.Service, c.other.Build)
}

func (c *comparer) definition() {
	at := slices.IndexFunc(c.other.Definitions, func(d ContractDefinition) bool { return d.String() == c.my.String() })
	if at < 0 {
		c.unknown()
		return
	}
	theirs := &c.other.Definitions[at]
	if theirs.Fingerprint != c.my.Fingerprint {
		c.fingerprints(theirs)
	}
	if c.own() {
		return
	}
	for _, step := range c.my.Owns {
		if slices.Contains(theirs.Owns, step) {
			c.add("two-owners", Error, step, "let one of the two services own it, in a version that both know",
				"%s and %s both own it: it would run twice", c.mine.Service, c.who())
		}
	}
	c.notListed(theirs)
	c.readMine(theirs)
	c.readTheirs(theirs)
}

// unknown warns of a version that the other service, which owns a step of it, has not
// published.
func (c *comparer) unknown() {
	if c.own() {
		return
	}
	if steps := c.stepsOf(c.other.Service); len(steps) > 0 {
		c.add("version-unknown", Warning, "", fmt.Sprintf("deploy a build of %s that knows it before such sagas start", c.other.Service),
			"%s does not know this version, and owns %s in it: such sagas wait there", c.who(), strings.Join(steps, ", "))
	}
}

// stepsOf returns the steps that a service owns by my definition.
func (c *comparer) stepsOf(service string) []string {
	d, err := Parse("", []byte(c.my.Document))
	if err != nil {
		return nil
	}
	return d.Definition.StepsOf(service)
}

// notListed finds steps that are the other's by my definition, and not by its contract.
func (c *comparer) notListed(theirs *ContractDefinition) {
	for _, step := range c.stepsOf(c.other.Service) {
		if !slices.Contains(theirs.Owns, step) {
			c.add("not-owned", Error, step, "let both services use the same definition",
				"it is owned by %s, whose contract does not list it: nobody would run it", c.who())
		}
	}
}

// fingerprints says what differs in two definitions of one version.
func (c *comparer) fingerprints(theirs *ContractDefinition) {
	severity, wayOut := Error, "let all services use the same definition, and give a changed one another version"
	if c.own() {
		severity = Warning
		wayOut = "give a changed definition another version, unless no such saga is running"
	}
	mine, err := Parse("", []byte(c.my.Document))
	other, err2 := Parse("", []byte(theirs.Document))
	if err = errors.Join(err, err2); err != nil {
		c.add("fingerprint-differs", severity, "", wayOut, "%s runs another definition under this version, and its text cannot be compared: %v", c.who(), err)
		return
	}
	told := false
	for _, change := range Diff(other, mine) {
		if change.Safety != Safe {
			told = true
			c.add("fingerprint-differs", severity, change.Step, wayOut, "%s runs another definition under this version: against that, %s (%s)", c.who(), change.Reason, change.Code)
		}
	}
	if !told {
		c.add("fingerprint-differs", severity, "", wayOut, "%s runs another definition under this version: it has fingerprint %s, mine %s", c.who(), theirs.Fingerprint, c.my.Fingerprint)
	}
}

// readMine holds what this service writes against what the other reads.
func (c *comparer) readMine(theirs *ContractDefinition) {
	for _, w := range c.my.Writes {
		for _, r := range theirs.Reads {
			if r.Of == w.Step {
				c.pair(r, c.other.Schemas[r.Schema], c.mine.Schemas[w.Schema], c.mine.Service, c.who())
			}
		}
	}
}

// readTheirs holds what the other writes against what this service reads.
func (c *comparer) readTheirs(theirs *ContractDefinition) {
	for _, w := range theirs.Writes {
		for _, r := range c.my.Reads {
			if r.Of == w.Step {
				c.pair(r, c.mine.Schemas[r.Schema], c.other.Schemas[w.Schema], c.who(), c.mine.Service)
			}
		}
	}
}

func (c *comparer) pair(r ContractRead, reader, writer ContractSchema, writes, reads string) {
	if SchemaFingerprint(reader.Schema()) == SchemaFingerprint(writer.Schema()) {
		return
	}
	what := fmt.Sprintf("the output of %q", r.Of)
	if r.Of == "" {
		what = "the saga's input"
	}
	problems, err := compat.CanRead(reader.Schema(), writer.Schema())
	if err != nil {
		c.add("cannot-read", Error, r.Step, "mend the schema", "%s, which %s writes as %s and %s reads as %s: %v", what, writes, writer.Name, reads, reader.Name, err)
	}
	for _, p := range problems {
		c.add("cannot-read", severityOf(p), r.Step, p.Remedy,
			"%s is written by %s as %s and read by %s as %s: %s (%s)", what, writes, writer.Name, reads, reader.Name, problemText(p), p.Code)
	}
}
