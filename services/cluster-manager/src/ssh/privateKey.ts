import { createPrivateKey, type KeyObject } from 'node:crypto'
import ssh2 from 'ssh2'
import { checkWork } from './keyWork.js'
import { withLength } from './wire.js'

const pem = /-----BEGIN [A-Z ]*PRIVATE KEY-----/

/**
 * A private key as nodes carry it: base64 of a PEM file (the document's form), PEM, or OpenSSH's own form, with or without
 * a passphrase. Answers a text that ssh2 takes without one; throws a plain Error with the reason. To open a locked key takes as
 * long as its maker wished, of which `createKeyReader` keeps the event loop free.
 */
export function readPrivateKey(text: string, passphrase?: string): string {
  const value = pem.test(text) ? text.trim() : Buffer.from(text, 'base64').toString('utf8').trim()
  if (!pem.test(value)) throw new Error('is no private key: give PEM, OpenSSH form, or base64 of one of them')
  const parsed = ssh2.utils.parseKey(value)
  if (!(parsed instanceof Error)) return `${value}\n`
  const opened = passphrase ? ssh2.utils.parseKey(value, passphrase) : parsed
  if (!(opened instanceof Error)) return unlocked(opened)
  return fromPkcs8(value, passphrase, opened)
}

/** ssh2 reads PKCS#1, SEC1 and OpenSSH; PKCS#8, what OpenSSL writes today, goes through Node. */
function fromPkcs8(value: string, passphrase: string | undefined, cause: Error): string {
  checkWork(value)
  try {
    const key = createPrivateKey({ key: value, ...(passphrase ? { passphrase } : {}) })
    const type = key.asymmetricKeyType
    const form = type === 'rsa' ? ('pkcs1' as const) : type === 'ec' ? ('sec1' as const) : undefined
    if (form) return key.export({ type: form, format: 'pem' }).toString()
  } catch {
    // The reason of ssh2 is the better one: it tells a wrong passphrase from a broken file.
  }
  const isLocked = /passphrase|encrypted|integrity/i.test(cause.message)
  throw new Error(isLocked ? 'does not open with this passphrase' : 'is no private key that SSH can use', { cause })
}

function unlocked(parsed: ssh2.ParsedKey): string {
  const text = parsed.getPrivatePEM()
  return parsed.type === 'ssh-ed25519' ? openSshForm(createPrivateKey(text)) : text
}

/** OpenSSH's PROTOCOL.key without a cipher: the one form of Ed25519 that ssh2 reads. */
function openSshForm(key: KeyObject): string {
  const { d = '', x = '' } = key.export({ format: 'jwk' })
  const [seed, point] = [Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')]
  const shown = [Buffer.from('ssh-ed25519'), point].map(withLength)
  // Two equal numbers, by which a wrong key would be seen, the key, and no comment.
  const content = Buffer.concat([
    Buffer.alloc(8),
    ...shown,
    ...[Buffer.concat([seed, point]), Buffer.alloc(0)].map(withLength)
  ])
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7].slice(0, (8 - (content.length % 8)) % 8))
  const none = withLength(Buffer.from('none'))
  const whole = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    ...[none, none, Buffer.alloc(4), Buffer.of(0, 0, 0, 1)],
    ...[Buffer.concat(shown), Buffer.concat([content, padding])].map(withLength)
  ])
  const lines = whole.toString('base64').match(/.{1,70}/g) ?? []
  return ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n')
}
