package redis

import (
	"cmp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/choreo-go/choreo/tracker/internal/facts"
)

func TestPlacesCompareAsWhatTheyStandFor(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) facts.Key {
		text := rapid.StringOf(rapid.SampledFrom([]rune("\x00\x01aé\U0010ffff")))
		return facts.Key{Time: rapid.Int64().Draw(t, "time") / rapid.SampledFrom([]int64{1, 1 << 62}).Draw(t, "few"), Saga: text.Draw(t, "saga"), ID: text.Draw(t, "id")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		want := cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Saga, b.Saga), cmp.Compare(a.ID, b.ID))
		require.Equal(t, want, cmp.Compare(place(a), place(b)))
		back, err := placed(place(a))
		require.NoError(t, err)
		require.Equal(t, a, back)
		require.Equal(t, cmp.Compare(a.Time, b.Time), cmp.Compare(digits(a.Time), digits(b.Time)))
		n, err := undigits(digits(a.Time))
		require.NoError(t, err)
		require.Equal(t, a.Time, n)
	})
	_, err := classed("short")
	require.ErrorContains(t, err, "no class")
	_, err = classed(strings.Repeat(listMark, 5))
	require.ErrorContains(t, err, "no version")
	_, err = placed("short")
	require.ErrorContains(t, err, "no place")
	_, err = undigits("x")
	require.Error(t, err)
}

func TestClassesAreTakenApartAgain(t *testing.T) {
	texts := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "\x00", "é|/,", "\U0010ffff"}), 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		f := facts.Facts{
			Saga: rapid.SampledFrom([]string{"order", "\x00"}).Draw(t, "saga"), Status: rapid.SampledFrom([]string{"", "stuck"}).Draw(t, "status"),
			Version: rapid.Int().Draw(t, "version"),
		}
		for _, list := range []*[]string{&f.Steps, &f.Services, &f.Codes} {
			if drawn := texts.Draw(t, "texts"); len(drawn) > 0 {
				*list = drawn
			}
		}
		back, err := classed(class(&f))
		require.NoError(t, err)
		require.Equal(t, f, back)
	})
}
