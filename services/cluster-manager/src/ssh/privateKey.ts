import { createPrivateKey } from 'node:crypto'
import ssh2 from 'ssh2'

const pem = /-----BEGIN [A-Z ]*PRIVATE KEY-----/

/**
 * A private key as nodes carry it: base64 of a PEM file (the document's form), PEM, or OpenSSH's own form, with or without
 * a passphrase. Answers the text as ssh2 takes it; throws a plain Error with the reason.
 */
export function readPrivateKey(text: string, passphrase?: string): string {
  const value = pem.test(text) ? text.trim() : Buffer.from(text, 'base64').toString('utf8').trim()
  if (!pem.test(value)) throw new Error('is no private key: give PEM, OpenSSH form, or base64 of one of them')
  const parsed = ssh2.utils.parseKey(value, passphrase)
  if (!(parsed instanceof Error)) return `${value}\n`
  return fromPkcs8(value, passphrase, parsed)
}

/** ssh2 reads PKCS#1, SEC1 and OpenSSH; PKCS#8, what OpenSSL writes today, goes through Node. */
function fromPkcs8(value: string, passphrase: string | undefined, cause: Error): string {
  try {
    const key = createPrivateKey({ key: value, passphrase: passphrase ?? '' })
    const type = key.asymmetricKeyType
    const form = type === 'rsa' ? ('pkcs1' as const) : type === 'ec' ? ('sec1' as const) : undefined
    if (form) return key.export({ type: form, format: 'pem' }).toString()
  } catch {
    // The reason of ssh2 is the better one: it tells a wrong passphrase from a broken file.
  }
  const isLocked = /passphrase|encrypted|integrity/i.test(cause.message)
  throw new Error(isLocked ? 'does not open with this passphrase' : 'is no private key that SSH can use', { cause })
}
