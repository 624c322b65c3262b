package participant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

// The services of a choreography tell each other what they do: the topic of definitions has one
// contract of each. A process that starts holds its own against those of the others. Where
// there is a contradiction it does not start; else it publishes its contract, unless that
// stands there already, and looks once more, for another service may have published one
// between the two: of two that contradict each other, the one whose record comes later in
// the topic takes it back and does not start.
//
// What a service has said before counts as replaced, and is worth a warning at most. What stands
// there is what the process said that
// started last, so that a deployment that goes back and forth, or one by one, ends with the
// contract of the build that was started last, and refuses nobody on the way.

// agreement is the contract of a process that starts, and what the others have said.
type agreement struct {
	cfg     *Config
	log     topics.Log
	outage  *outage
	compare func(definition.Contract, []definition.Contract) []definition.Finding
	mine    definition.Contract
	record  choreo.Record            // of the contract
	before  map[string]choreo.Record // the topic, before anything was published
	told    map[string]bool          // findings that stand in the log
}

// propose checks this service's contract against those of others. It returns nil where there
// is nothing to publish it to.
func (p *Participant[Tx]) propose(ctx context.Context) (*agreement, error) {
	a := &agreement{cfg: p.cfg, log: p.log, outage: &p.outage, compare: p.compare, told: make(map[string]bool)}
	topic := p.names.Definitions()
	if !p.definitions {
		p.cfg.Logger.Warn("contracts are neither published nor checked: their topic does not exist. "+
			"Create it with topics.NewPlan and Plan.Apply", zap.String("topic", topic))
		return nil, nil
	}
	err := a.write(topic, p.documents)
	if err == nil {
		err = a.read(ctx)
	}
	if err == nil {
		err = a.check(a.contracts(a.before))
	}
	if err = p.unkept(ctx, err); err != nil || a.before == nil {
		return nil, err
	}
	return a, nil
}

// publishContract publishes the contract, unless it stands there. It does nothing for nil.
func (p *Participant[Tx]) publishContract(ctx context.Context, a *agreement) error {
	if a == nil || bytes.Equal(a.before[a.mine.Key()].Value, a.record.Value) {
		return nil
	}
	return p.unkept(ctx, a.conclude(ctx))
}

// unkept returns why the participant does not start: not at all where contracts are ignored.
func (p *Participant[Tx]) unkept(ctx context.Context, err error) error {
	switch {
	case err == nil, ctx.Err() != nil:
		return ctx.Err()
	case p.cfg.IgnoreContracts && !errors.Is(err, topics.ErrClosed):
		p.cfg.Logger.Warn("starting without an agreement with other services, as Config.IgnoreContracts has it", zap.Error(err))
		return nil
	}
	return fmt.Errorf("participant %s: %w", p.cfg.Service, err)
}

// documents returns the definitions with the schemas of their payloads, and the names of the
// sagas that this service may start.
func (p *Participant[Tx]) documents() (docs []*definition.Document, starts []string, err error) {
	describers := make(map[choreo.MediaType]schema.Describer)
	for media, codec := range p.codecs.of {
		if d, ok := codec.(schema.Describer); ok {
			describers[media] = d
		}
	}
	if d, ok := p.codecs.standard.(schema.Describer); ok {
		describers[""] = d
	}
	var faults []error
	for _, r := range p.sortedRoles() {
		doc, err := definition.FromGo(r.def, describers)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		docs = append(docs, doc)
		if name := r.def.Name(); p.mayStart(name) && !slices.Contains(starts, name) {
			starts = append(starts, name)
		}
	}
	return docs, starts, errors.Join(faults...)
}

// write makes the contract and its record.
func (a *agreement) write(topic string, documents func() ([]*definition.Document, []string, error)) error {
	docs, starts, err := documents()
	if err == nil {
		a.mine, err = definition.NewContract(docs, definition.ContractConfig{Service: a.cfg.Service, Build: a.cfg.Build, Starts: starts})
	}
	var value []byte
	if err == nil {
		value, err = a.mine.Encode()
	}
	if err != nil {
		return fmt.Errorf("its contract cannot be made: %w", err)
	}
	a.record = choreo.Record{
		Topic: topic, Partition: choreo.AnyPartition, Key: []byte(a.mine.Key()), Value: value,
		Headers: []choreo.Header{{Key: "content-type", Value: []byte(choreo.JSON)}},
	}
	return nil
}

// read reads what stands in the topic before anything is published.
func (a *agreement) read(ctx context.Context) (err error) {
	if a.before, err = topics.ReadTable(ctx, a.log, a.record.Topic); err != nil {
		return fmt.Errorf("the contracts of others cannot be read: %w", err)
	}
	return nil
}

// contracts returns those in a table, sorted by service.
func (a *agreement) contracts(table map[string]choreo.Record) []definition.Contract {
	var list []definition.Contract
	for _, key := range slices.Sorted(maps.Keys(table)) {
		rec := table[key]
		if !definition.IsContractKey(key) {
			continue
		}
		contract, err := definition.DecodeContract(rec.Value)
		if err != nil {
			a.once(key, func() {
				a.cfg.Logger.Warn("a contract cannot be read, and is not compared with",
					zap.String("topic", rec.Topic), zap.String("key", key), zap.Error(err))
			})
			continue
		}
		list = append(list, contract)
	}
	return list
}

// once says something that has not been said yet.
func (a *agreement) once(what string, say func()) {
	if !a.told[what] {
		a.told[what] = true
		say()
	}
}

// check holds the contract against others. It logs what is not quite right, and returns what
// cannot work as an error.
func (a *agreement) check(others []definition.Contract) error {
	var lines []string
	for _, f := range a.compare(a.mine, others) {
		if f.Severity == definition.Error {
			lines = append(lines, "  "+f.String())
			continue
		}
		a.once(f.String(), func() {
			say := a.cfg.Logger.Info
			if f.Severity == definition.Warning {
				say = a.cfg.Logger.Warn
			}
			say("contract: "+f.Reason, zap.String("code", string(f.Code)), zap.String("definition", f.Definition),
				zap.String("step", f.Step), zap.String("way_out", f.WayOut))
		})
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("its contract contradicts those of other services:\n%s\n"+
		"mend that, or set Config.IgnoreContracts to start all the same", strings.Join(lines, "\n"))
}

// conclude publishes the contract, and takes it back where it contradicts one that came
// between.
func (a *agreement) conclude(ctx context.Context) error {
	if err := a.publish(ctx, a.record); err != nil {
		return err
	}
	table, err := topics.ReadTable(ctx, a.log, a.record.Topic)
	if err != nil {
		return fmt.Errorf("the contracts of others cannot be read: %w", err)
	}
	own, there := table[a.mine.Key()]
	if !there || !bytes.Equal(own.Value, a.record.Value) {
		return nil // another process of this service came after, and looks for itself
	}
	maps.DeleteFunc(table, func(_ string, rec choreo.Record) bool {
		return rec.Partition == own.Partition && rec.Offset >= own.Offset
	})
	contradiction := a.check(a.contracts(table))
	if contradiction == nil || a.cfg.IgnoreContracts {
		return contradiction
	}
	back := a.record
	back.Value = a.before[a.mine.Key()].Value // a tombstone where there was none
	return errors.Join(contradiction, a.publish(ctx, back))
}

// publish writes a record to the topic, and waits for the broker as long as it takes.
func (a *agreement) publish(ctx context.Context, rec choreo.Record) error {
	for attempt := 1; ; attempt++ {
		errs := a.log.Publish(ctx, []choreo.Record{rec})
		if errs == nil {
			a.outage.over("broker")
			return nil
		}
		err := errs[0]
		if errors.Is(err, topics.ErrClosed) || errors.Is(err, topics.ErrRecordTooLarge) || errors.Is(err, topics.ErrUnknownTopic) {
			return fmt.Errorf("its contract cannot be published to topic %s: %w", rec.Topic, err)
		}
		if err := a.outage.wait(ctx, "broker", err, attempt, a.cfg.OutageBackoff); err != nil {
			return err
		}
	}
}

// buildVersion is the default of Config.Build.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	version := settings["vcs.revision"]
	if version != "" && settings["vcs.modified"] == "true" {
		version += "-modified"
	}
	return version
}
