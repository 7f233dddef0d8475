import { deserialize, serialize } from 'bson'

const opMsg = 2013
/** Length, request id, the request that is answered, kind of message; flags; kind of section. */
const headerBytes = 4 * 4 + 4 + 1

/**
 * One command as a message of MongoDB's wire protocol (OP_MSG with one section). For whoever gives no more than one: a driver
 * takes longer to load than the engine takes to open.
 */
export function commandMessage(command: object): Buffer {
  const document = serialize(command)
  const header = Buffer.alloc(headerBytes)
  header.writeInt32LE(headerBytes + document.length, 0)
  header.writeInt32LE(1, 4)
  header.writeInt32LE(opMsg, 12)
  return Buffer.concat([header, document])
}

/** Of the document of a reply. */
export function isOk(reply: Buffer): boolean {
  return deserialize(reply).ok === 1
}
