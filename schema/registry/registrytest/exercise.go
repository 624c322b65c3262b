package registrytest

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/schema"
)

// Harness is a kind of registry that the suite can run over.
type Harness struct {
	// New sets up a place for schemas and returns what opens a registry on it. Registries
	// of one place share their schemas, as those of several processes do. The place may
	// hold schemas of others.
	New func(t *testing.T) (open func(t *testing.T) schema.Registry)
	// Framing of the ids.
	Framing schema.Framing
	// AvroReferences says that Avro schemas may refer to others.
	AvroReferences bool
	// Strict lets a subject take only schemas that read what the last one wrote.
	Strict func(t *testing.T, r schema.Registry, subject string)
	// Away, if set, takes away whatever stands behind the registries that were opened last.
	Away func(t *testing.T)
}

// Exercise runs the suite.
func Exercise(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(*rig)
	}{
		{"a schema comes back by its id", roundTrip},
		{"a schema that is registered keeps its id", keepsID},
		{"the versions of a subject are in order", versions},
		{"one schema may be under several subjects", severalSubjects},
		{"what is unknown is said to be", unknown},
		{"what was unknown is found once it is registered", foundLater},
		{"a bad schema is refused", badSchema},
		{"references are registered first and come back with their text", references},
		{"an incompatible schema is refused", incompatible},
		{"many register at once and agree", atOnce},
		{"what was returned is the caller's", owned},
		{"a context that has ended ends the call", ended},
		{"what was seen is there while the registry is away", away},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &rig{T: t, Harness: h, prefix: "t" + strings.ToLower(rand.Text()[:8])}
			r.open = h.New(t)
			r.reg = r.open(t)
			test.run(r)
		})
	}
}

// rig is what one test works with. Its names are its own, for the place may be shared.
type rig struct {
	*testing.T
	Harness
	prefix string
	open   func(t *testing.T) schema.Registry
	reg    schema.Registry
}

func (r *rig) register(reg schema.Registry, subject string, s schema.Schema) schema.ID {
	r.Helper()
	id, err := reg.Register(r.Context(), subject, s)
	require.NoError(r, err)
	return id
}

// avro returns a record with fields of type long.
func (r *rig) avro(record string, fields ...string) schema.Schema {
	var list []string
	for _, f := range fields {
		list = append(list, fmt.Sprintf(`{"name":%q,"type":"long"}`, f))
	}
	name := r.prefix + "." + record
	return schema.Schema{Kind: schema.Avro, Name: name, Text: fmt.Sprintf(
		`{"type":"record","name":%q,"namespace":%q,"fields":[%s]}`, record, r.prefix, strings.Join(list, ","))}
}

func (r *rig) subject(s schema.Schema) string {
	return schema.Subject(r.prefix+".order.events", s.Name)
}

func (r *rig) protobuf() schema.Schema {
	return schema.Schema{Kind: schema.Protobuf, Name: r.prefix + ".Booking", Text: fmt.Sprintf(
		"syntax = \"proto3\";\npackage %s;\n\nmessage Booking {\n  string id = 1;\n  int64 cents = 2;\n}\n", r.prefix)}
}

func (r *rig) json() schema.Schema {
	return schema.Schema{Kind: schema.JSONType, Name: r.prefix + ".Parcel", Text: fmt.Sprintf(
		`{"$schema":"http://json-schema.org/draft-07/schema#","title":"%s.Parcel","type":"object","properties":{"id":{"type":"string"}}}`, r.prefix)}
}

// same compares two schemas as far as a registry may change them: blanks and the like.
func (r *rig) same(want, got schema.Schema) {
	r.Helper()
	require.Equal(r, want.Kind, got.Kind)
	require.Equal(r, want.Name, got.Name)
	if want.Kind == schema.Protobuf {
		require.Equal(r, strings.Fields(want.Text), strings.Fields(got.Text))
	} else {
		require.JSONEq(r, want.Text, got.Text)
	}
}

func roundTrip(r *rig) {
	for _, s := range []schema.Schema{r.avro("Order", "a"), r.protobuf(), r.json()} {
		id := r.register(r.reg, r.subject(s), s)
		require.Equal(r, r.Framing, id.Framing)
		parsed, body, err := schema.ParseID(append(id.Append(nil), "body"...))
		require.NoError(r, err)
		require.Equal(r, id, parsed)
		require.Equal(r, "body", string(body))
		for _, reg := range []schema.Registry{r.reg, r.open(r.T)} {
			got, err := reg.Schema(r.Context(), id)
			require.NoError(r, err)
			r.same(s, got)
			versions, err := reg.Versions(r.Context(), r.subject(s))
			require.NoError(r, err)
			require.Len(r, versions, 1)
			require.Equal(r, id, versions[0].ID)
			require.Equal(r, 1, versions[0].Number)
			r.same(s, versions[0].Schema)
		}
	}
}

func keepsID(r *rig) {
	s := r.avro("Order", "a")
	id := r.register(r.reg, r.subject(s), s)
	s.Name = "" // it is in the text
	for _, reg := range []schema.Registry{r.reg, r.open(r.T)} {
		require.Equal(r, id, r.register(reg, r.prefix+".order.events-"+r.prefix+".Order", s))
	}
}

func versions(r *rig) {
	var ids []schema.ID
	subject := r.subject(r.avro("Order"))
	other := r.open(r.T)
	for i, fields := range [][]string{{"a", "b", "c"}, {"a", "b"}, {"a"}} {
		// Each reads what those before wrote: some registries insist.
		reg := []schema.Registry{r.reg, other}[i%2]
		ids = append(ids, r.register(reg, subject, r.avro("Order", fields...)))
	}
	for _, reg := range []schema.Registry{r.reg, other, r.open(r.T)} {
		versions, err := reg.Versions(r.Context(), subject)
		require.NoError(r, err)
		require.Len(r, versions, len(ids))
		for i, v := range versions {
			require.Equal(r, i+1, v.Number)
			require.Equal(r, ids[i], v.ID)
		}
		r.same(r.avro("Order", "a", "b"), versions[1].Schema)
	}
}

func severalSubjects(r *rig) {
	s := r.avro("Order", "a")
	subjects := []string{schema.Subject(r.prefix+".a.events", s.Name), schema.Subject(r.prefix+".b.events", s.Name)}
	for _, subject := range subjects {
		got, err := r.reg.Schema(r.Context(), r.register(r.reg, subject, s))
		require.NoError(r, err)
		r.same(s, got)
	}
	for _, reg := range []schema.Registry{r.reg, r.open(r.T)} {
		all, err := reg.Subjects(r.Context())
		require.NoError(r, err)
		require.IsNonDecreasing(r, all)
		require.Subset(r, all, subjects)
	}
}

func unknown(r *rig) {
	id := schema.ID{Framing: r.Framing, Number: 1<<31 - 5}
	for range 2 {
		_, err := r.reg.Schema(r.Context(), id)
		require.ErrorIs(r, err, schema.ErrUnknownSchema)
		require.ErrorContains(r, err, id.String(), "the id is named")
	}
	for _, foreign := range []schema.ID{
		{Framing: schema.Confluent, Number: 1 << 40}, {Framing: schema.Confluent + schema.SingleObject - r.Framing, Number: 1}, {},
	} {
		_, err := r.reg.Schema(r.Context(), foreign)
		require.ErrorIs(r, err, schema.ErrUnknownSchema, "an id that the registry cannot have given")
	}
	_, err := r.reg.Versions(r.Context(), r.prefix+"-nobody")
	require.ErrorIs(r, err, schema.ErrUnknownSchema)
	require.ErrorContains(r, err, r.prefix+"-nobody")
	all, err := r.reg.Subjects(r.Context())
	require.NoError(r, err)
	require.NotContains(r, all, r.prefix+"-nobody", "asking does not make a subject")
}

// An id is only learned from a payload that was written by it: another process has
// registered it by then.
func foundLater(r *rig) {
	s := r.avro("Late", "a")
	other := r.open(r.T)
	_, err := other.Versions(r.Context(), r.subject(s))
	require.ErrorIs(r, err, schema.ErrUnknownSchema)
	id := r.register(r.reg, r.subject(s), s)
	got, err := other.Schema(r.Context(), id)
	require.NoError(r, err)
	r.same(s, got)
	versions, err := other.Versions(r.Context(), r.subject(s))
	require.NoError(r, err)
	require.Len(r, versions, 1)
}

func badSchema(r *rig) {
	good := r.avro("Order", "a")
	for name, s := range map[string]schema.Schema{
		"no text":        {Kind: schema.Avro},
		"no kind":        {Text: good.Text},
		"broken JSON":    {Kind: schema.Avro, Text: good.Text[:20]},
		"no UTF-8":       {Kind: schema.JSONType, Text: "{\"title\":\"\xff\"}"},
		"unknown type":   {Kind: schema.Avro, Text: `{"type":"record","name":"R","fields":[{"name":"a","type":"nothing"}]}`},
		"no .proto":      {Kind: schema.Protobuf, Text: "message {"},
		"another record": {Kind: schema.Avro, Name: "another.Record", Text: good.Text},
		"no message":     {Kind: schema.Protobuf, Name: "another.Message", Text: r.protobuf().Text},
		"unregistered import": {Kind: schema.JSONType, Text: r.json().Text,
			References: []schema.Reference{{Name: "base", Subject: r.prefix + "-nobody", Version: 1}}},
		"nameless import": {Kind: schema.JSONType, Text: r.json().Text, References: []schema.Reference{{Subject: "s", Version: 1}}},
		"import of nothing": {Kind: schema.JSONType, Text: r.json().Text,
			References: []schema.Reference{{Name: "base"}}},
	} {
		_, err := r.reg.Register(r.Context(), r.prefix+"-bad", s)
		require.Error(r, err, name)
		require.NotErrorIs(r, err, schema.ErrIncompatible, name)
	}
	for _, subject := range []string{"", ".", "..", "a\nb", "a\x00b", "\xff", strings.Repeat("x", 256)} {
		_, err := r.reg.Register(r.Context(), subject, good)
		require.ErrorContains(r, err, "subject", "%q", subject)
	}
	all, err := r.reg.Subjects(r.Context())
	require.NoError(r, err)
	require.NotContains(r, all, r.prefix+"-bad")
}

func references(r *rig) {
	file := func(name, imports, fields string) schema.Schema {
		return schema.Schema{Kind: schema.Protobuf, Name: r.prefix + "." + name,
			Text: fmt.Sprintf("syntax = \"proto3\";\npackage %s;\n%smessage %s {\n%s}\n", r.prefix, imports, name, fields)}
	}
	// Confluent's serializers keep an imported file under its path.
	path := func(name string) string { return r.prefix + "/" + name + ".proto" }
	imports := func(name string) string { return fmt.Sprintf("import %q;\n", path(name)) }
	money := file("Money", "", "  int64 cents = 1;\n")
	price := file("Price", imports("money"), "  Money net = 1;\n")
	price.References = []schema.Reference{{Name: path("money"), Subject: path("money"), Version: 1}}
	offer := file("Offer", imports("price"), "  Price price = 1;\n")
	offer.References = []schema.Reference{{Name: path("price"), Subject: path("price"), Version: 1}}

	r.register(r.reg, path("money"), money)
	r.register(r.reg, path("price"), price)
	id := r.register(r.reg, r.subject(offer), offer)
	require.Equal(r, id, r.register(r.open(r.T), r.subject(offer), offer))
	for _, reg := range []schema.Registry{r.reg, r.open(r.T)} {
		got, err := reg.Schema(r.Context(), id)
		require.NoError(r, err)
		r.same(offer, got)
		require.Len(r, got.References, 2, "with what its reference refers to")
		for i, want := range []schema.Schema{money, price} {
			ref := got.References[i]
			name := path([]string{"money", "price"}[i])
			require.Equal(r, schema.Reference{Name: name, Subject: name, Version: 1, Text: ref.Text}, ref)
			require.Equal(r, strings.Fields(want.Text), strings.Fields(ref.Text))
		}
		require.Equal(r, id, r.register(reg, r.subject(offer), got), "what came from a registry can be given to it")
	}
	if r.AvroReferences {
		avroReferences(r)
	}
}

func avroReferences(r *rig) {
	item := r.avro("Item", "a")
	r.register(r.reg, item.Name, item)
	basket := schema.Schema{Kind: schema.Avro, Name: r.prefix + ".Basket",
		Text:       fmt.Sprintf(`{"type":"record","name":%q,"fields":[{"name":"item","type":%q}]}`, r.prefix+".Basket", item.Name),
		References: []schema.Reference{{Name: item.Name, Subject: item.Name, Version: 1}}}
	id := r.register(r.reg, r.subject(basket), basket)
	got, err := r.open(r.T).Schema(r.Context(), id)
	require.NoError(r, err)
	r.same(basket, got)
	require.Len(r, got.References, 1)
	require.JSONEq(r, item.Text, got.References[0].Text)
}

func incompatible(r *rig) {
	subject := r.subject(r.avro("Order"))
	first := r.register(r.reg, subject, r.avro("Order", "a"))
	r.Strict(r.T, r.reg, subject)
	for _, reg := range []schema.Registry{r.reg, r.open(r.T)} {
		_, err := reg.Register(r.Context(), subject, r.avro("Order", "a", "added"))
		require.ErrorIs(r, err, schema.ErrIncompatible)
		require.ErrorContains(r, err, "added", "it is said why")
		require.Equal(r, first, r.register(reg, subject, r.avro("Order", "a")), "the old schema is none the worse")
	}
	versions, err := r.reg.Versions(r.Context(), subject)
	require.NoError(r, err)
	require.Len(r, versions, 1)
}

func atOnce(r *rig) {
	const schemas, writers = 5, 6
	subject := r.subject(r.avro("Order"))
	made := make([]schema.Schema, schemas)
	for i := range made {
		made[i] = r.avro("Order", "a", "b", "c", "d", "e", "f")
		made[i].Text = strings.Replace(made[i].Text, `"fields":[`, fmt.Sprintf(
			`"fields":[{"name":"x%d","type":"long","default":%d},`, i, i), 1)
	}
	open := []schema.Registry{r.reg, r.open(r.T), r.open(r.T)}
	ids := make([][schemas]schema.ID, writers)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range schemas {
				at := (i + w) % schemas
				id, err := open[w%len(open)].Register(r.Context(), subject, made[at])
				if err != nil {
					r.Errorf("register: %v", err)
				}
				ids[w][at] = id
			}
		})
	}
	writing.Wait()
	for w := range ids {
		require.Equal(r, ids[0], ids[w], "all have the same id for the same schema")
	}
	want, err := r.reg.Versions(r.Context(), subject)
	require.NoError(r, err)
	require.Len(r, want, schemas)
	for i, v := range want {
		require.Contains(r, ids[0], v.ID)
		require.Positive(r, v.Number)
		if i > 0 { // there may be gaps: some registries count a schema twice
			require.Greater(r, v.Number, want[i-1].Number)
		}
	}
	for _, reg := range append(open, r.open(r.T)) {
		got, err := reg.Versions(r.Context(), subject)
		require.NoError(r, err)
		require.Equal(r, want, got)
	}
}

func owned(r *rig) {
	s := r.json()
	base := schema.Schema{Kind: schema.JSONType, Text: `{"$schema":"http://json-schema.org/draft-07/schema#","type":"string"}`}
	r.register(r.reg, r.prefix+".base", base)
	s.References = []schema.Reference{{Name: "base.json", Subject: r.prefix + ".base", Version: 1}}
	id := r.register(r.reg, r.subject(s), s)
	s.References[0].Name = "spoilt"
	for range 2 {
		got, err := r.reg.Schema(r.Context(), id)
		require.NoError(r, err)
		require.Equal(r, "base.json", got.References[0].Name)
		got.References[0].Name = "spoilt"
		versions, err := r.reg.Versions(r.Context(), r.subject(s))
		require.NoError(r, err)
		require.Equal(r, "base.json", versions[0].Schema.References[0].Name)
		versions[0].Schema.References[0].Name = "spoilt"
		versions[0].Number = 99
		all, err := r.reg.Subjects(r.Context())
		require.NoError(r, err)
		require.Contains(r, all, r.subject(s))
		clear(all)
	}
}

func ended(r *rig) {
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	s := r.avro("Order", "a")
	_, err := r.reg.Register(ctx, r.subject(s), s)
	require.ErrorIs(r, err, context.Canceled)
	_, err = r.reg.Schema(ctx, schema.ID{Framing: r.Framing, Number: 1<<31 - 6})
	require.ErrorIs(r, err, context.Canceled)
	require.NotErrorIs(r, err, schema.ErrUnknownSchema, "nobody was asked")
	_, err = r.reg.Versions(ctx, r.subject(s))
	require.ErrorIs(r, err, context.Canceled)
}

func away(r *rig) {
	if r.Away == nil {
		return // nothing stands behind it
	}
	s, unseen := r.avro("Order", "a"), r.avro("Unseen", "a")
	id := r.register(r.reg, r.subject(s), s)
	other := r.open(r.T) // has seen the schema by its id alone
	_, err := other.Schema(r.Context(), id)
	require.NoError(r, err)
	want, err := r.reg.Versions(r.Context(), r.subject(s))
	require.NoError(r, err)
	_, err = r.reg.Subjects(r.Context())
	require.NoError(r, err)
	r.Away(r.T)
	for _, reg := range []schema.Registry{r.reg, other} {
		got, err := reg.Schema(r.Context(), id)
		require.NoError(r, err)
		r.same(s, got)
		_, err = reg.Schema(r.Context(), schema.ID{Framing: r.Framing, Number: 1<<31 - 7})
		require.Error(r, err)
		require.NotErrorIs(r, err, schema.ErrUnknownSchema, "nobody could be asked")
		_, err = reg.Register(r.Context(), r.subject(unseen), unseen)
		require.Error(r, err)
	}
	require.Equal(r, id, r.register(r.reg, r.subject(s), s))
	got, err := r.reg.Versions(r.Context(), r.subject(s))
	require.NoError(r, err)
	require.Equal(r, want, got)
	all, err := r.reg.Subjects(r.Context())
	require.NoError(r, err)
	require.Contains(r, all, r.subject(s))
}
