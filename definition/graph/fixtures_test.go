package graph

import (
	"fmt"
	"time"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/examples/order/contract"
)

func spec(name string, strategy choreo.Strategy, steps ...choreo.StepDef) *choreo.Definition {
	return made(choreo.Spec{Name: name, Version: 1, Strategy: strategy, Input: "Request", Steps: steps})
}

func made(s choreo.Spec) *choreo.Definition {
	d, err := choreo.FromSpec(s)
	if err != nil {
		panic(err)
	}
	return d
}

func step(name, owner, output string, after ...string) choreo.StepDef {
	return choreo.StepDef{Name: name, Owner: owner, Output: output, After: after}
}

// fixtures are the sagas that are drawn in testdata.
func fixtures() map[string]choreo.AnySaga {
	return map[string]choreo.AnySaga{
		"order":    contract.Order,
		"travel":   travel(),
		"chain":    chain(),
		"diamond":  diamond(),
		"fan":      fan(12),
		"custom":   custom(),
		"hostile":  hostile(),
		"thirty":   web("thirty", 30),
		"sixty":    web("sixty", 60),
		"single":   spec("single", "", step("only", "one", "")),
		"longname": long(),
	}
}

func travel() *choreo.Definition {
	car := step("rent-car", "cars", "CarRented", "take-request")
	car.Optional = true
	hotel := step("book-hotel", "hotels", "HotelBooked", "take-request")
	hotel.Condition = "overnight"
	hotel.Refusals = []string{"no-room"}
	pay := step("pay", "payments", "Paid", "book-flight", "book-hotel", "rent-car")
	pay.Pivot = true
	pay.Uses = []string{"take-request"}
	pay.Timeout = 30 * time.Second
	confirm := step("confirm", "trips", "Confirmed", "pay")
	confirm.Uses = []string{"book-flight", "book-hotel"}
	documents := step("send-documents", "documents", "", "confirm")
	documents.Uses = []string{"book-flight"}
	return made(choreo.Spec{
		Name: "travel", Version: 2, Strategy: choreo.ParallelOrder, Deadline: time.Hour, Encoding: choreo.Protobuf, Input: "TripRequested",
		Steps: []choreo.StepDef{
			step("take-request", "trips", "TripTaken"),
			step("book-flight", "flights", "FlightBooked", "take-request"),
			hotel, car, pay, confirm, documents,
		},
	})
}

func chain() *choreo.Definition {
	last := step("five", "b", "Fifth", "four")
	last.Uses = []string{"one", "two"}
	last.UndoUses = []string{"three"}
	return spec("chain", choreo.ReverseOrder,
		step("one", "a", "First"), step("two", "b", "Second", "one"),
		step("three", "c", "Third", "two"), step("four", "a", "Fourth", "three"), last)
}

func diamond() *choreo.Definition {
	return spec("diamond", choreo.ReverseOrder,
		step("top", "a", "Top"), step("left", "b", "Left", "top"),
		step("right", "c", "Right", "top"), step("bottom", "a", "Bottom", "left", "right", "top"))
}

func fan(n int) *choreo.Definition {
	steps := []choreo.StepDef{step("open", "front", "Opened")}
	join := step("close", "front", "Closed")
	for i := range n {
		name := fmt.Sprintf("part-%d", i+1)
		steps = append(steps, step(name, fmt.Sprintf("worker-%d", i%4+1), fmt.Sprintf("Part%d", i+1), "open"))
		join.After = append(join.After, name)
	}
	return spec("fan", choreo.ReverseOrder, append(steps, join)...)
}

func custom() *choreo.Definition {
	a, b := step("a", "one", "A"), step("b", "two", "B", "a")
	c, d := step("c", "three", "C", "a"), step("d", "two", "D", "b", "c")
	e := step("e", "one", "E", "d")
	e.NoCompensate = true
	d.UndoAfter = []string{"b"}
	b.UndoAfter = []string{"c"}
	c.UndoAfter = []string{"a"}
	e.CompensateIf = "not-a-warning"
	return spec("custom", choreo.CustomOrder, a, b, c, d, e)
}

func hostile() *choreo.Definition {
	s := step("one", "a", `"]; click <script>alert(1)</script> & %%{init}%% --> \N`)
	s.Condition = "]]>\"'<img src=x onerror=alert(1)>\n\x00\u202E#quot;"
	s.Encoding = "text/html\"><svg onload=alert(1)>"
	t := step("two", "a", "</title></svg>\\\"\\", "one")
	t.Condition = "\xff\xfe ` ``` end\r\nsubgraph x"
	return made(choreo.Spec{Name: "hostile", Version: 1, Input: "a|b{c}(d)[e]\"", Steps: []choreo.StepDef{s, t}})
}

// web is a saga of many steps that looks drawn by chance and is the same each time.
func web(name string, n int) *choreo.Definition {
	seed := uint32(n)
	draw := func(below int) int {
		seed = seed*1664525 + 1013904223
		return int(seed>>8) % below
	}
	services := []string{"orders", "inventory", "payments", "shipping", "fraud", "mail", "ledger"}
	var steps []choreo.StepDef
	for i := range n {
		s := step(fmt.Sprintf("do-thing-%d", i+1), services[draw(len(services))], fmt.Sprintf("Thing%dDone", i+1))
		if i > 0 {
			near := max(0, i-4)
			s.After = append(s.After, steps[near+draw(i-near)].Name)
			if other := steps[near+draw(i-near)].Name; draw(3) == 0 && other != s.After[0] {
				s.After = append(s.After, other)
			}
			if used := before(steps, s.After[0]); used != "" && draw(4) == 0 {
				s.Uses = []string{used}
			}
		}
		s.Optional = draw(12) == 0
		s.NoCompensate = draw(8) == 0
		steps = append(steps, s)
	}
	return spec(name, choreo.ReverseOrder, steps...)
}

// before returns a step two steps before the named one.
func before(steps []choreo.StepDef, name string) string {
	for range 2 {
		for _, s := range steps {
			if s.Name == name && len(s.After) > 0 {
				name = s.After[0]
				break
			}
		}
	}
	for _, s := range steps {
		if s.Name == name && len(s.After) == 0 {
			return ""
		}
	}
	return name
}

func long() *choreo.Definition {
	s := step("a-name-that-takes-more-than-one-line-since-it-says-all-that-there-is-to-be-said", "a-service-with-a-name-that-says-too-much-for-a-box", "OneOfThosePayloadsThatBearTheirWholeHistoryInTheirName")
	s.Timeout = 90 * time.Second
	t := step("0123456789012345678901234567890123456789", "records", "注文を作成しました", s.Name)
	return spec("longname", choreo.BestEffort, s, t)
}
