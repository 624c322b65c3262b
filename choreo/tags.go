package choreo

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode"
	"unicode/utf8"
)

// The bounds of a saga's tags. They travel in a header, and everybody who shows sagas keeps
// them.
const (
	MaxTags     = 16
	MaxTagName  = 64  // bytes
	MaxTagValue = 256 // bytes
)

// CheckTags returns an error that names every fault: at most [MaxTags] tags, names of at most
// [MaxTagName] small letters, digits, '_', '.' and '-', values of at most [MaxTagValue] bytes
// of UTF-8 without control characters.
func CheckTags(tags map[string]string) error {
	var faults []error
	if len(tags) > MaxTags {
		faults = append(faults, fmt.Errorf("%d tags: at most %d", len(tags), MaxTags))
	}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		if err := checkTag(name, tags[name]); err != nil {
			faults = append(faults, fmt.Errorf("tag %.80q: %w", name, err))
		}
		if len(faults) > MaxTags {
			break
		}
	}
	return errors.Join(faults...)
}

func checkTag(name, value string) error {
	switch {
	case name == "":
		return errors.New("its name is empty")
	case len(name) > MaxTagName:
		return fmt.Errorf("its name is %d bytes long: at most %d", len(name), MaxTagName)
	case len(value) > MaxTagValue:
		return fmt.Errorf("its value is %d bytes long: at most %d", len(value), MaxTagValue)
	case !utf8.ValidString(value):
		return errors.New("its value is not UTF-8")
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.' && r != '-' {
			return fmt.Errorf("its name holds %q: use small letters, digits, '_', '.' and '-'", r)
		}
	}
	for _, r := range value {
		if unicode.IsControl(r) {
			return fmt.Errorf("its value holds the control character %q", r)
		}
	}
	return nil
}

// FormatTags writes tags as a JSON object, sorted by name; none as the empty string.
func FormatTags(tags map[string]string) string {
	if len(tags) == 0 {
		return ""
	}
	data, _ := json.Marshal(tags) // strings always have a JSON form, and keys are sorted
	return string(data)
}

// ParseTags reads what [FormatTags] writes, and checks it by [CheckTags].
func ParseTags(text string) (map[string]string, error) {
	if text == "" {
		return nil, nil
	}
	// The longest that tags within the bounds can be, each byte written as an escape.
	if most := MaxTags * (MaxTagName + MaxTagValue + 2) * 6; len(text) > most {
		return nil, fmt.Errorf("the tags are %d bytes long: at most %d", len(text), most)
	}
	var tags map[string]string
	if err := json.Unmarshal([]byte(text), &tags); err != nil {
		return nil, fmt.Errorf("a JSON object of texts is expected: %w", err)
	}
	if len(tags) == 0 {
		return nil, nil
	}
	return tags, CheckTags(tags)
}
