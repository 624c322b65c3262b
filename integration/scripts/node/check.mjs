// Reads what Choreo writes with the tools that define the formats: AsyncAPI documents with
// the official parser, flowcharts with Mermaid itself. Prints a line for each fault and
// ends with 1 where there is one.
//
//     node check.mjs FILE...    .json and .yaml are AsyncAPI, .mmd is Mermaid
import { readFile } from 'node:fs/promises'
import { AvroSchemaParser } from '@asyncapi/avro-schema-parser'
import { Parser } from '@asyncapi/parser'
import { ProtoBuffSchemaParser } from '@asyncapi/protobuf-schema-parser'
import Ajv2020 from 'ajv/dist/2020.js'
import { JSDOM } from 'jsdom'

// The parser comes with draft 7 of JSON Schema alone.
const jsonSchema2020 = {
  getMimeTypes: () => ['application/schema+json;version=draft-2020-12'],
  validate: ({ data, path }) => {
    const ajv = new Ajv2020({ strict: false })
    if (ajv.validateSchema(data)) return []
    return ajv.errors.map(e => ({ message: `${e.instancePath} ${e.message}`, path }))
  },
  parse: ({ data }) => data,
}

const faults = []

async function asyncapi(file, text) {
  const parser = new Parser()
  parser.registerSchemaParser(AvroSchemaParser())
  parser.registerSchemaParser(ProtoBuffSchemaParser())
  parser.registerSchemaParser(jsonSchema2020)
  const { document, diagnostics } = await parser.parse(text, { source: file })
  for (const d of diagnostics) { // 0 is an error, 1 a warning
    if (d.severity <= 1) faults.push(`${file}: ${d.path.join('.')}: ${d.message} [${d.code}]`)
  }
  if (!document) {
    faults.push(`${file}: the parser gives no document`)
    return
  }
  console.log(`${file}: ${document.channels().length} channels, ${document.operations().length} operations, ` +
    `${document.components().messages().length} messages`)
}

let mermaid
async function flowchart(file, text) {
  if (!mermaid) { // it looks for a page as it loads
    const { window } = new JSDOM('')
    globalThis.window = window
    globalThis.document = window.document
    mermaid = (await import('mermaid')).default
    mermaid.initialize({ startOnLoad: false, maxEdges: 5000, maxTextSize: 1e6 })
  }
  try {
    const { diagramType } = await mermaid.parse(text)
    const diagram = await mermaid.mermaidAPI.getDiagramFromText(text)
    console.log(`${file}: ${diagramType}, ${diagram.db.getVertices().size} nodes, ${diagram.db.getEdges().length} edges`)
  } catch (e) {
    faults.push(`${file}: ${e.message}`)
  }
}

for (const file of process.argv.slice(2)) {
  const text = await readFile(file, 'utf8')
  await (file.endsWith('.mmd') ? flowchart : asyncapi)(file, text)
}
for (const fault of faults) console.error(fault)
process.exit(faults.length ? 1 : 0)
