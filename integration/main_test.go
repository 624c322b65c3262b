package integration

import (
	"os"
	"testing"

	"github.com/choreo-go/choreo/integration/internal/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }
