package contract_test

import (
	"testing"

	"github.com/bufbuild/protocompile"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"

	"github.com/choreo-go/choreo/examples/travel/contract/travelv1"
)

func TestTheGeneratedCodeIsThatOfTheProtoFile(t *testing.T) {
	const path = "choreo/examples/travel/v1/travel.proto"
	compiler := protocompile.Compiler{Resolver: &protocompile.SourceResolver{ImportPaths: []string{"proto"}}}
	files, err := compiler.Compile(t.Context(), path)
	require.NoError(t, err)
	source := protodesc.ToFileDescriptorProto(files[0])
	source.SourceCodeInfo = nil // comments
	generated := protodesc.ToFileDescriptorProto(travelv1.File_choreo_examples_travel_v1_travel_proto)
	require.Equal(t, prototext.Format(source), prototext.Format(generated), "run go generate ./examples/travel/contract")
}
