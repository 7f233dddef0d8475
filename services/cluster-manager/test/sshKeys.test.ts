import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { sshKeyPair } from '@fleetgate/testkit'
import ssh2 from 'ssh2'
import t from 'tap'
import { generateRsaPair, readPublicKey } from '../src/pubkeys/sshKeys.js'

const ed25519 = sshKeyPair({ comment: 'me@host' })
const rsa = ssh2.utils.generateKeyPairSync('rsa', { bits: 2048, comment: 'rsa@host' })
const ecdsa = ssh2.utils.generateKeyPairSync('ecdsa', { bits: 384, comment: 'ec@host' })
const [type, encoded = ''] = ed25519.public.split(' ')

function open(line: string): KeyObject {
  const parsed = ssh2.utils.parseKey(line)
  if (parsed instanceof Error) throw parsed
  return createPublicKey(parsed.getPublicPEM())
}

await t.test('takes RSA, ECDSA and Ed25519 in OpenSSH form as they are', async (t) => {
  for (const pair of [rsa, ecdsa, ed25519]) t.equal(readPublicKey(pair.public), pair.public)
  t.equal(readPublicKey(`  ${ed25519.public}\n`), ed25519.public, 'without blanks around')
  t.equal(readPublicKey(`${type} ${encoded}`), `${type} ${encoded}`, 'a comment is not needed')
  t.equal(readPublicKey(`${type} ${encoded} 李 雷`), `${type} ${encoded} 李 雷`)
})

await t.test('turns PEM into the OpenSSH form of the same key', async (t) => {
  const keys = [
    generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey,
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey,
    generateKeyPairSync('ec', { namedCurve: 'P-521' }).publicKey,
    generateKeyPairSync('ed25519').publicKey
  ]
  for (const key of keys) {
    const line = readPublicKey(key.export({ type: 'spki', format: 'pem' }).toString())
    t.notMatch(line, '\n')
    t.ok(open(line).equals(key), line.slice(0, 20))
  }
})

await t.test('refuses what is no public key, and what would add to authorized_keys', async (t) => {
  const x25519 = generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
  const weak = generateKeyPairSync('rsa', { modulusLength: 512 }).publicKey
  const bad: [string, string][] = [
    ['text', 'hhghghghghghg'],
    ['empty', ''],
    ['private key', ed25519.private],
    ['private PEM', generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()],
    ['two lines', `${ed25519.public}\n${rsa.public}`],
    ['second line as comment', `${type} ${encoded}\nssh-rsa AAAA`],
    ['carriage return', `${type} ${encoded} a\rssh-rsa AAAA`],
    ['options', `command="/bin/sh" ${ed25519.public}`],
    ['cut short', `${type} ${encoded.slice(0, 40)}`],
    ['wrong type', `ssh-rsa ${encoded}`],
    [
      'trailing bytes',
      `${type} ${Buffer.concat([Buffer.from(encoded, 'base64'), Buffer.from('more')]).toString('base64')}`
    ],
    ['key agreement', x25519],
    ['512 bits', weak.export({ type: 'spki', format: 'pem' }).toString()],
    ['broken PEM', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----']
  ]
  for (const [what, text] of bad) {
    t.throws(
      () => readPublicKey(text),
      { code: 'invalid_input', message: /^pubkeyValue /, details: { field: 'pubkeyValue' } },
      what
    )
  }
})

await t.test('generates pairs that fit', async (t) => {
  const pair = await generateRsaPair(2048, 'comment')
  t.match(pair.publicKey, /^ssh-rsa \S+ comment$/)
  t.ok(open(pair.publicKey).equals(createPublicKey(pair.privatePem)))
})
