/** A string as SSH has it on the wire (RFC 4251 section 5): its length in four bytes before it. */
export function withLength(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}
