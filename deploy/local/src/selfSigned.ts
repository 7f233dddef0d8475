import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface CertificateFiles {
  certFile: string
  keyFile: string
}

const days = 3650
const msPerDay = 86_400_000

/** A certificate of its own signature for `localhost` and 127.0.0.1; made once, the key with mode 600. */
export function selfSignedFiles(dir: string): CertificateFiles {
  const [certFile, keyFile] = [join(dir, 'mqtt-cert.pem'), join(dir, 'mqtt-key.pem')]
  if (existsSync(certFile) && existsSync(keyFile)) return { certFile, keyFile }
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  writeFileSync(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  writeFileSync(certFile, pem(certificate(privateKey, publicKey)))
  return { certFile, keyFile }
}

/** X.509 version 3 (RFC 5280), as DER: Node reads certificates but makes none. */
function certificate(privateKey: KeyObject, publicKey: KeyObject): Buffer {
  const ecdsaWithSha256 = sequence(objectId('2a8648ce3d040302'))
  const name = sequence(der(0x31, sequence(objectId('550403'), der(0x0c, Buffer.from('localhost')))))
  const now = Date.now()
  const validity = sequence(time(now - msPerDay), time(now + days * msPerDay))
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const altNames = sequence(der(0x82, Buffer.from('localhost')), der(0x87, Buffer.from([127, 0, 0, 1])))
  const isCa = sequence(der(0x01, Buffer.from([0xff])))
  const keyId = der(0x04, createHash('sha1').update(spki).digest())
  const extensions = sequence(
    sequence(objectId('551d11'), der(0x04, altNames)),
    sequence(objectId('551d13'), der(0x01, Buffer.from([0xff])), der(0x04, isCa)),
    sequence(objectId('551d0e'), der(0x04, keyId))
  )
  const serial = Buffer.concat([Buffer.from([0x01]), randomBytes(15)])
  const signed = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    ecdsaWithSha256,
    name,
    validity,
    name,
    spki,
    der(0xa3, extensions)
  )
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', signed, privateKey)])
  return sequence(signed, ecdsaWithSha256, der(0x03, signature))
}

function sequence(...parts: Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts))
}

function objectId(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, 'hex'))
}

/** UTCTime, which ends with 2049. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/\D/g, '').slice(2, 14)
  return der(0x17, Buffer.from(`${digits}Z`))
}

function der(tag: number, body: Buffer): Buffer {
  const { length } = body
  if (length < 128) return Buffer.concat([Buffer.from([tag, length]), body])
  if (length < 256) return Buffer.concat([Buffer.from([tag, 0x81, length]), body])
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 255]), body])
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
