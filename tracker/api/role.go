package api

import "fmt"

// Role is what somebody may do. Each role may do what those before it may.
type Role string

// The roles.
const (
	RoleViewer   Role = "viewer"   // reads
	RoleOperator Role = "operator" // and acts on sagas and dead letters
	RoleAdmin    Role = "admin"    // and sees payloads in any case
)

// roleNobody is what open routes need: those that the page and probes call before anybody can
// have logged in.
const roleNobody Role = ""

// ParseRole returns the role of that name.
func ParseRole(name string) (Role, error) {
	if r := Role(name); r.rank() > 0 {
		return r, nil
	}
	return "", fmt.Errorf("role %q: use viewer, operator or admin", name)
}

func (r Role) rank() int {
	switch r {
	case RoleViewer:
		return 1
	case RoleOperator:
		return 2
	case RoleAdmin:
		return 3
	default:
		return 0
	}
}

// may reports whether the role may do what needs another.
func (r Role) may(needs Role) bool { return r.rank() >= needs.rank() }

// Identity is who asks.
type Identity struct {
	Name string
	Role Role
}

// local is who asks where there is no authentication.
func local() Identity { return Identity{Name: "local", Role: RoleAdmin} }
