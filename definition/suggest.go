package definition

import (
	"fmt"
	"strings"
)

// suggest says which of the names was meant, or which there are.
func suggest(name string, known []string) string {
	best, distance := "", 3 // further away is hardly a slip
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), k); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	if best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	if len(known) == 0 {
		return "drop it"
	}
	return "use one of: " + strings.Join(known, ", ")
}

// editDistance counts the letters to insert, drop, replace or swap with their neighbour
// that lead from a to b.
func editDistance(a, b string) int {
	const far = 1 << 20
	if len(a) > 2*len(b)+3 {
		return far // and not worth a table
	}
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
