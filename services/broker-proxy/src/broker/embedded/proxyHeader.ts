import { isIP, type Socket } from 'node:net'

/** Whose connection a proxy passes on; absent where it is the proxy's own (health checks). */
export interface ProxySource {
  ip: string
  port: number
}

export type ProxyHeader = { bytes: number; source?: ProxySource } | 'incomplete' | 'invalid'

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const maxLine = 107
const fixedBytes = 16
/** What proxies put behind the addresses is some hundred bytes. */
const maxBody = 4096

/** PROXY protocol, versions 1 and 2, as HAProxy's document describes it. */
export function parseProxyHeader(bytes: Buffer): ProxyHeader {
  const start = Math.min(bytes.length, signature.length)
  if (bytes.subarray(0, start).equals(signature.subarray(0, start))) return parseBinary(bytes)
  return parseLine(bytes)
}

/** `PROXY TCP4 192.0.2.1 192.0.2.9 56324 1883\r\n` */
function parseLine(bytes: Buffer): ProxyHeader {
  const text = bytes.subarray(0, maxLine).toString('latin1')
  const end = text.indexOf('\r\n')
  if (end < 0) return text.length < maxLine && isBeginning(text) ? 'incomplete' : 'invalid'
  const [proxy, kind, ip = '', , port = '', ...rest] = text.slice(0, end).split(' ')
  if (proxy !== 'PROXY') return 'invalid'
  if (kind === 'UNKNOWN') return { bytes: end + 2 }
  const version = kind === 'TCP4' ? 4 : kind === 'TCP6' ? 6 : undefined
  const isGood = isIP(ip) === version && isPort(port) && rest.length === 1 && isPort(rest[0] ?? '')
  return isGood ? { bytes: end + 2, source: { ip, port: Number(port) } } : 'invalid'
}

function isBeginning(text: string): boolean {
  return 'PROXY '.startsWith(text.slice(0, 6)) || text.startsWith('PROXY ')
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65_535
}

/** Signature, version and command, family and protocol, length, addresses. */
function parseBinary(bytes: Buffer): ProxyHeader {
  if (bytes.length < fixedBytes) return 'incomplete'
  const [command = 0, family = 0] = bytes.subarray(12, 14)
  const body = bytes.readUInt16BE(14)
  if (command >> 4 !== 2 || (command & 15) > 1 || body > maxBody) return 'invalid'
  if (bytes.length < fixedBytes + body) return 'incomplete'
  const header = { bytes: fixedBytes + body }
  // LOCAL, and families that have no address on the net.
  if ((command & 15) === 0) return header
  const at = bytes.subarray(fixedBytes, fixedBytes + body)
  if (family === 0x11) return at.length < 12 ? 'invalid' : { ...header, source: ipv4(at) }
  if (family === 0x21) return at.length < 36 ? 'invalid' : { ...header, source: ipv6(at) }
  return header
}

function ipv4(at: Buffer): ProxySource {
  return { ip: [...at.subarray(0, 4)].join('.'), port: at.readUInt16BE(8) }
}

function ipv6(at: Buffer): ProxySource {
  const groups = Array.from({ length: 8 }, (_, index) => at.readUInt16BE(index * 2).toString(16))
  // The URL parser writes every IPv6 address in its one short form.
  return { ip: new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1), port: at.readUInt16BE(32) }
}

/**
 * Takes the header off a connection that has just begun and gives the socket the address of whom the proxy speaks for.
 * Rejects where there is none within so many milliseconds.
 */
export function readProxyHeader(socket: Socket, withinMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0)
    const timer = setTimeout(() => end(new Error('no PROXY header in time')), withinMs)
    const closed = () => end(new Error('closed before a PROXY header'))

    function end(error?: Error): void {
      clearTimeout(timer)
      socket.off('readable', read).off('close', closed).off('error', end)
      if (error) reject(error)
      else resolve()
    }

    function read(): void {
      for (let chunk = socket.read(); chunk; chunk = socket.read()) {
        bytes = Buffer.concat([bytes, chunk as Buffer])
        const header = parseProxyHeader(bytes)
        if (header === 'invalid') return void end(new Error('no PROXY header'))
        if (header === 'incomplete') continue
        if (bytes.length > header.bytes) socket.unshift(bytes.subarray(header.bytes))
        if (header.source) passFor(socket, header.source)
        return void end()
      }
    }

    socket.on('readable', read).on('close', closed).on('error', end)
    read()
  })
}

function passFor(socket: Socket, { ip, port }: ProxySource): void {
  Object.defineProperties(socket, { remoteAddress: { value: ip }, remotePort: { value: port } })
}
