import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.SchemaCompatibility.SchemaCompatibilityType;
import org.apache.avro.SchemaParseException;

/** Reads pairs of Avro schemas from a file and writes what Apache Avro says of each to another. */
public final class Vectors {
  public static void main(String[] args) throws Exception {
    ObjectMapper mapper = new ObjectMapper();
    ArrayNode vectors = mapper.createArrayNode();
    for (JsonNode pair : mapper.readTree(new java.io.File(args[0]))) {
      try {
        Schema reader = new Schema.Parser().parse(pair.get("Reader").toString());
        Schema writer = new Schema.Parser().parse(pair.get("Writer").toString());
        ObjectNode vector = pair.deepCopy();
        vector.put("Compatible", SchemaCompatibility.checkReaderWriterCompatibility(reader, writer).getType()
            == SchemaCompatibilityType.COMPATIBLE);
        vectors.add(vector);
      } catch (SchemaParseException | org.apache.avro.AvroTypeException e) {
        System.err.println("left out: " + e.getMessage());
      }
    }
    mapper.writeValue(new java.io.File(args[1]), vectors);
  }
}
