/**
 * One command in MongoDB's wire protocol (OP_MSG, BSON), by hand: the driver that would write it takes longer to load than the
 * engine takes to open. Fields are texts and whole numbers of 32 bits.
 */
export function commandMessage(command: Record<string, string | number>): Buffer {
  const fields = Object.entries(command).map(([name, value]) =>
    typeof value === 'number' ? int32(name, value) : text(name, value)
  )
  const document = withLength(Buffer.concat([...fields, Buffer.alloc(1)]), 4)
  const header = Buffer.alloc(21)
  header.writeInt32LE(header.length + document.length, 0)
  header.writeInt32LE(1, 4)
  header.writeInt32LE(opMsg, 12)
  return Buffer.concat([header, document])
}

/** Whether the document of a reply holds `ok: 1`, which is a double there. */
export function isOk(reply: Buffer): boolean {
  const one = Buffer.alloc(8)
  one.writeDoubleLE(1)
  return reply.includes(field(1, 'ok', one))
}

const opMsg = 2013

function field(type: number, name: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.of(type), Buffer.from(`${name}\0`), value])
}

function text(name: string, value: string): Buffer {
  return field(2, name, withLength(Buffer.from(`${value}\0`), 0))
}

function int32(name: string, value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  return field(16, name, bytes)
}

/** `more`: by how much the number is larger than what follows it, as a document's counts itself. */
function withLength(bytes: Buffer, more: number): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32LE(bytes.length + more)
  return Buffer.concat([length, bytes])
}
