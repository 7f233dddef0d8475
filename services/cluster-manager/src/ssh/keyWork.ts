/** OpenSSL writes 2048; a second's work is some millions. */
const mostRounds = 10_000_000
const locked = /-----BEGIN ENCRYPTED PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END/

/**
 * Whoever makes a locked PKCS#8 key says how long it takes to open, and nothing ends that work. Throws a plain Error where it
 * would be too long. In each of its forms (RFC 8018) the count is a number of the first part, what locks the key.
 */
export function checkWork(text: string): void {
  const [, encoded] = locked.exec(text) ?? []
  if (!encoded) return
  const der = Buffer.from(encoded, 'base64')
  const [whole] = partsOf(der)
  const [how] = whole ? partsOf(whole.content) : []
  if (how && mostOf(how) > mostRounds) throw new Error('is locked with more rounds than are opened here')
}

interface Part {
  tag: number
  content: Buffer
}

const sequence = 0x30
const integer = 0x02

function mostOf({ tag, content }: Part): number {
  if (tag === integer) return Number.parseInt(content.toString('hex') || '0', 16)
  return tag === sequence ? Math.max(0, ...partsOf(content).map(mostOf)) : 0
}

/** The parts of a DER text (X.690 section 8.1), as far as they are whole. */
function partsOf(der: Buffer): Part[] {
  const parts: Part[] = []
  for (let at = 0; at + 2 <= der.length; ) {
    const tag = der.readUInt8(at)
    const short = der.readUInt8(at + 1)
    const extra = short < 0x80 ? 0 : short - 0x80
    if (extra > 4 || at + 2 + extra > der.length) break
    const begin = at + 2 + extra
    const length = extra === 0 ? short : der.readUIntBE(at + 2, extra)
    parts.push({ tag, content: der.subarray(begin, begin + length) })
    at = begin + length
  }
  return parts
}
