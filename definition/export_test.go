package definition

import "github.com/choreo-go/choreo/choreo"

// KeysOf returns the keys that Parse reads in a part of a file, and those that it needs.
func KeysOf(part string) (keys, required []string) {
	p := newParser("")
	fields := map[string][]field{
		"definition": p.documentFields(),
		"payload":    p.payloadFields(&Payload{}),
		"step":       p.stepFields(&choreo.StepDef{}),
		"retry":      p.retryFields(&choreo.RetryPolicy{}),
	}[part]
	for _, f := range fields {
		keys = append(keys, f.key)
		if f.required {
			required = append(required, f.key)
		}
	}
	return keys, required
}
