package contract_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/choreo-go/choreo/choreo"
	"github.com/choreo-go/choreo/definition"
	"github.com/choreo-go/choreo/examples/travel/contract"
	"github.com/choreo-go/choreo/schema"
	"github.com/choreo-go/choreo/schema/protobuf"
)

// documents are the saga as it stands in the file and as it is made in Go.
func documents(t *testing.T) (file, inGo *definition.Document) {
	t.Helper()
	file, err := definition.Load(os.DirFS("."), "travel.yaml", choreo.BindWhen("wants-car", contract.WantsCar))
	require.NoError(t, err)
	codec, err := protobuf.New(nil, nil)
	require.NoError(t, err)
	inGo, err = definition.FromGo(contract.Trip, map[choreo.MediaType]schema.Describer{choreo.Protobuf: codec})
	require.NoError(t, err)
	return file, inGo
}

func TestTheFileAndTheGoCodeAreOneDefinition(t *testing.T) {
	file, inGo := documents(t)
	require.Equal(t, definition.Fingerprint(inGo.Definition), definition.Fingerprint(file.Definition))
	for _, change := range definition.Diff(inGo, file) { // the text of the file has comments
		require.Equal(t, definition.Code("schema-changed"), change.Code, change.String())
		require.Equal(t, definition.Safe, change.Safety, change.String())
	}
	text, err := os.ReadFile("travel.yaml")
	require.NoError(t, err)
	require.Equal(t, string(text), string(definition.Format(file)))
	for _, s := range contract.Trip.Steps() {
		require.Equal(t, s.Timeout, file.Definition.Step(s.Name).Timeout, s.Name)
		require.Equal(t, s.Retry, file.Definition.Step(s.Name).Retry, s.Name)
	}
}

func TestTheLinterFindsNothingButWhatIsMeant(t *testing.T) {
	file, inGo := documents(t)
	for _, d := range []*definition.Document{file, inGo} {
		found := make(map[definition.Code]string)
		for _, f := range definition.Lint([]*definition.Document{d}, &definition.LintConfig{Services: contract.Trip.Services()}) {
			found[f.Code] = f.Step
		}
		require.Equal(t, map[definition.Code]string{
			"not-undone":    "check-papers",    // it changes nothing
			"unread-output": "issue-documents", // the log tells what was printed
		}, found)
	}
}
