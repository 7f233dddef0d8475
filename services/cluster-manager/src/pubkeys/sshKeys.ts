import { createPublicKey, generateKeyPair, type JsonWebKey, type KeyObject } from 'node:crypto'
import { promisify } from 'node:util'
import { AppError, createTurns } from '@fleetgate/kit'
import ssh2 from 'ssh2'
import { withLength } from '../ssh/wire.js'

/** One line as it may stand in authorized_keys: no options before the key, no certificate, no DSA. */
const openSsh = /^(?:ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]+={0,2})(?: +\P{Cc}*)?$/u
const pemPublic = /^-----BEGIN (?:RSA )?PUBLIC KEY-----/
const pemPrivate = /PRIVATE KEY/
/** sshd refuses less. */
const leastRsaBits = 1024

export interface KeyPair {
  /** OpenSSH form with a comment. */
  publicKey: string
  /** PEM, PKCS#1, as the document shows it. */
  privatePem: string
}

const makePair = promisify(generateKeyPair)
const inTurn = createTurns()

/**
 * Checks a public key in OpenSSH or PEM form and answers it as one OpenSSH line. What passes goes into
 * authorized_keys one day, so whatever could add a second line there is refused.
 */
export function readPublicKey(text: string): string {
  const value = text.trim()
  if (pemPrivate.test(value)) throw refused('is a private key: upload the public one, and make a new pair')
  if (pemPublic.test(value)) return fromPem(value)
  const [, encoded] = openSsh.exec(value) ?? []
  const parsed = encoded ? ssh2.utils.parseKey(value) : undefined
  if (!encoded || !parsed || parsed instanceof Error || !isExact(parsed, encoded)) {
    throw refused('is not a public key in OpenSSH or PEM form')
  }
  checkStrength(openPublicKey(parsed.getPublicPEM()))
  return value
}

/**
 * Off the event loop, and one at a time: looking for primes takes seconds where the machine is busy, in one of the four threads
 * that files, look-ups of names and password checks go through too.
 */
export async function generateRsaPair(bits: number, comment: string): Promise<KeyPair> {
  const { publicKey, privateKey } = await inTurn('rsa', () => makePair('rsa', { modulusLength: bits }))
  return {
    publicKey: `${toOpenSsh(publicKey)} ${comment}`,
    privatePem: privateKey.export({ type: 'pkcs1', format: 'pem' }).toString()
  }
}

/** ssh2 reads past what follows the numbers; we do not keep what nobody checked. */
function isExact(parsed: ssh2.ParsedKey, encoded: string): boolean {
  return parsed.getPublicSSH().equals(Buffer.from(encoded, 'base64'))
}

function fromPem(pem: string): string {
  const key = openPublicKey(pem)
  checkStrength(key)
  return toOpenSsh(key)
}

function openPublicKey(pem: string): KeyObject {
  try {
    return createPublicKey(pem)
  } catch (cause) {
    throw refused('is not a public key in OpenSSH or PEM form', cause)
  }
}

function checkStrength(key: KeyObject): void {
  const bits = key.asymmetricKeyDetails?.modulusLength
  if (bits !== undefined && bits < leastRsaBits) throw refused(`has ${bits} bits, fewer than ${leastRsaBits}`)
}

const curves: Record<string, string> = { 'P-256': 'nistp256', 'P-384': 'nistp384', 'P-521': 'nistp521' }

/** RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4. */
function toOpenSsh(key: KeyObject): string {
  const jwk = exportJwk(key)
  const curve = curves[jwk.crv ?? '']
  if (jwk.kty === 'RSA') return line('ssh-rsa', [positive(decode(jwk.e)), positive(decode(jwk.n))])
  if (jwk.crv === 'Ed25519') return line('ssh-ed25519', [decode(jwk.x)])
  if (jwk.kty !== 'EC' || !curve) throw refused('is of a kind that SSH does not know')
  return line(`ecdsa-sha2-${curve}`, [Buffer.from(curve), Buffer.concat([Buffer.of(4), decode(jwk.x), decode(jwk.y)])])
}

/** Kinds without a JWK form (DSA, DH) throw there. */
function exportJwk(key: KeyObject): JsonWebKey {
  try {
    return key.export({ format: 'jwk' })
  } catch (cause) {
    throw refused('is of a kind that SSH does not know', cause)
  }
}

function line(type: string, parts: Buffer[]): string {
  return `${type} ${Buffer.concat([Buffer.from(type), ...parts].map(withLength)).toString('base64')}`
}

/** A set first bit would make the number negative. */
function positive(bytes: Buffer): Buffer {
  return (bytes[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes
}

function decode(text: string | undefined): Buffer {
  return Buffer.from(text ?? '', 'base64url')
}

function refused(reason: string, cause?: unknown): AppError {
  return new AppError('invalid_input', `pubkeyValue ${reason}`, { field: 'pubkeyValue' }, { cause })
}
