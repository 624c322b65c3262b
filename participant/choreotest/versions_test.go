package choreotest

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/outbox/memory"
	"github.com/choreo-go/choreo/participant"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/topics"
)

// gobs is a codec that is not JSON.
type gobs struct{}

func (gobs) ContentType() string { return "application/x-gob" }

func (gobs) Encode(v any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}

func (gobs) Decode(data []byte, into any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(into)
}

// Version 2 pays in cents, and speaks gob but for its last step.
type (
	priced struct{ Cents int }
	paid   struct{ Cents int }
)

var (
	create1, create2 = create, choreo.NewStep[placed, priced]("create")
	charge2Cents     = choreo.NewStep[priced, paid]("charge")

	euros = choreo.MustDefine[placed]("order", 1,
		create1.OwnedBy("orders"), charge.OwnedBy("payments").After(create1))
	cents = choreo.MustDefine[placed]("order", 2, choreo.Encoding("application/x-gob"),
		create2.OwnedBy("orders"), charge2Cents.OwnedBy("payments").After(create2).Encoding(choreo.JSON))
)

func TestVersionsSpeakDifferently(t *testing.T) {
	Run(t, []choreo.AnySaga{euros, cents}, func(w *World) {
		w.Config.Codecs = []schema.Codec{gobs{}}
		Serve(w, "payments", func(p *participant.Participant[*memory.Tx]) {
			participant.Handle(p, charge, books[created, receipt]{func(call *participant.Call[created]) (receipt, error) {
				return receipt{Paid: call.Input.Total}, nil
			}})
			participant.Handle(p, charge2Cents, books[priced, paid]{func(call *participant.Call[priced]) (paid, error) {
				if call.Input.Cents == 1300 {
					return paid{}, choreo.Refuse("unlucky", nil)
				}
				return paid(call.Input), nil
			}}, participant.InVersions(2))
		})
		orders := Serve(w, "orders", func(p *participant.Participant[*memory.Tx]) {
			participant.Handle(p, create1, books[placed, created]{func(call *participant.Call[placed]) (created, error) {
				return created(call.Input), nil
			}}, participant.InVersions(1))
			participant.Handle(p, create2, books[placed, priced]{func(call *participant.Call[placed]) (priced, error) {
				return priced{Cents: 100 * call.Input.Total}, nil
			}}, participant.InVersions(2))
		})
		first := Start(orders, euros, "1", placed{Total: 12})
		second := Start(orders, cents, "2", placed{Total: 12})
		third := Start(orders, cents, "3", placed{Total: 13})
		w.Wait(first)
		w.Wait(second)
		w.Wait(third)
		w.AssertStatus(first, choreo.StatusCompleted)
		w.AssertStatus(second, choreo.StatusCompleted)
		w.AssertStatus(third, choreo.StatusCompensated)
		media := make(map[string]string)
		for _, rec := range w.Records() {
			ev, err := topics.Decode(&rec)
			require.NoError(t, err)
			if ev.Type == choreo.Started || ev.Type == choreo.StepCompleted {
				media[fmt.Sprint(ev.SagaID, " ", ev.Step)] = ev.ContentType
			}
			if ev.Type == choreo.StepCompleted && ev.SagaID == "2" && ev.Step == "charge" {
				require.JSONEq(t, `{"Cents":1200}`, string(ev.Payload))
			}
		}
		require.Equal(t, map[string]string{
			"1 ": "application/json", "1 create": "application/json", "1 charge": "application/json",
			"2 ": "application/x-gob", "2 create": "application/x-gob", "2 charge": "application/json",
			"3 ": "application/x-gob", "3 create": "application/x-gob",
		}, media)
	})
}
