import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.util.HexFormat;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.SchemaNormalization;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.avro.io.JsonEncoder;
import org.apache.avro.message.BinaryMessageEncoder;

/** Writes what Apache Avro makes of each case. */
public class Vectors {
  static final ObjectMapper JSON = new ObjectMapper();

  public static void main(String[] args) throws Exception {
    ArrayNode out = JSON.createArrayNode();
    for (JsonNode c : JSON.readTree(new File(args[0]))) {
      ObjectNode vector = c.deepCopy();
      try {
        fill(vector, c);
        out.add(vector);
      } catch (Exception e) {
        System.err.println(c.get("name").asText() + ": left out: " + e);
      }
    }
    JSON.writerWithDefaultPrettyPrinter().writeValue(System.out, out);
  }

  static void fill(ObjectNode vector, JsonNode c) throws Exception {
    Schema writer = new Schema.Parser().parse(c.get("writer").asText());
    vector.put("canonical", SchemaNormalization.toParsingForm(writer));
    vector.put("fingerprint", String.format("%016x", SchemaNormalization.parsingFingerprint64(writer)));
    if (!c.has("value")) {
      return;
    }
    Object value = new GenericDatumReader<>(writer)
        .read(null, DecoderFactory.get().jsonDecoder(writer, c.get("value").asText()));
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
    new GenericDatumWriter<>(writer).write(value, encoder);
    encoder.flush();
    byte[] body = bytes.toByteArray();
    vector.put("body", HexFormat.of().formatHex(body));
    byte[] single = new byte[new BinaryMessageEncoder<>(new GenericData(), writer).encode(value).remaining()];
    new BinaryMessageEncoder<>(new GenericData(), writer).encode(value).get(single);
    vector.put("single", HexFormat.of().formatHex(single));
    if (!c.has("reader")) {
      return;
    }
    Schema reader = new Schema.Parser().parse(c.get("reader").asText());
    vector.put("compatible", SchemaCompatibility.checkReaderWriterCompatibility(reader, writer).getType()
        == SchemaCompatibility.SchemaCompatibilityType.COMPATIBLE);
    try {
      Object read = new GenericDatumReader<>(writer, reader)
          .read(null, DecoderFactory.get().binaryDecoder(body, null));
      vector.put("read", json(reader, read));
    } catch (Exception e) {
      vector.put("refused", e.getClass().getSimpleName());
    }
  }

  static String json(Schema schema, Object value) throws Exception {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    JsonEncoder encoder = EncoderFactory.get().jsonEncoder(schema, out);
    new GenericDatumWriter<>(schema).write(value, encoder);
    encoder.flush();
    return out.toString("UTF-8");
  }
}
