import { execFileSync, spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { temporaryFolder } from '@fleetgate/testkit'
import t from 'tap'
import { packedFor, type Travelling } from '../src/hosts/packing.js'
import { findOnPath } from '../src/profiles/findOnPath.js'
import { loadProfiles } from '../src/profiles/profile.js'

const dir = temporaryFolder(t)

function file(name: string, content: Buffer) {
  const path = join(dir, name)
  writeFileSync(path, content)
  return { name, path, bytes: content.length, sha256: createHash('sha256').update(content).digest('hex') }
}

async function bytesOf({ input }: Travelling): Promise<Buffer> {
  if (Buffer.isBuffer(input)) return input
  const chunks: Buffer[] = []
  for await (const chunk of input as Readable) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

const text = Buffer.from('one line of a program\n'.repeat(10_000))

await t.test('a file travels in the best packing that both sides know', async (t) => {
  const packed = await packedFor(file('text', text), ['gzip', 'zstd'])
  if (packed.unpack === 'gzip -dc') t.notOk(findOnPath('zstd', process.env.PATH), 'this machine has no zstd')
  const [program = '', ...args] = packed.unpack.split(' ')
  t.ok((await bytesOf(packed)).length < text.length / 2)
  t.ok(execFileSync(program, args, { input: await bytesOf(packed) }).equals(text))
  const gzip = await packedFor(file('text', text), ['gzip'])
  t.equal(gzip.unpack, 'gzip -dc')
  t.ok(gunzipSync(await bytesOf(gzip)).equals(text))
})

await t.test('what unpacks it sees whether all of it came, and as it was', async (t) => {
  const noise = Buffer.concat([randomBytes(50_000), Buffer.alloc(50_000)])
  for (const unpacks of [['zstd'], ['gzip']]) {
    const packed = await packedFor(file('half', noise), unpacks)
    if (!packed.isChecked) continue
    const bytes = await bytesOf(packed)
    const other = Buffer.from(bytes)
    other.writeUInt8(other.readUInt8(20_000) ^ 1, 20_000)
    for (const input of [bytes.subarray(0, -1), bytes.subarray(0, 30_000), other]) {
      const { status } = spawnSync('sh', ['-c', packed.unpack], { input })
      t.not(status, 0, packed.unpack)
    }
  }
})

await t.test('a file that was replaced since it was hashed does not travel packed', async (t) => {
  const replaced = file('replaced', Buffer.concat([text, text]))
  writeFileSync(replaced.path, Buffer.from('another line of a program\n'.repeat(10_000)))
  t.match(await packedFor(replaced, ['gzip']), { unpack: 'cat', isChecked: false })
})

await t.test('it travels as it is where the host undoes nothing, or packing would win nothing', async (t) => {
  const plain = await packedFor(file('text', text), ['compress'])
  t.match(plain, { unpack: 'cat', isChecked: false })
  t.ok((await bytesOf(plain)).equals(text))
  const noise = randomBytes(100_000)
  const kept = await packedFor(file('noise', noise), ['gzip', 'zstd'])
  t.equal(kept.unpack, 'cat')
  t.ok((await bytesOf(kept)).equals(noise))
})

await t.test('a program that was replaced is another file, without a restart', async (t) => {
  const path = join(dir, 'nats-server')
  const { get } = loadProfiles(fileURLToPath(new URL('../../profiles', import.meta.url)), { 'nats-server': () => path })
  const sums: string[] = []
  for (const version of ['one', 'two', 'two']) {
    writeFileSync(path, version)
    const [staged] = (await get('nats')?.staged()) ?? []
    t.equal(staged?.bytes, 3)
    sums.push(staged?.sha256 ?? '')
  }
  t.equal(new Set(sums).size, 2)
  rmSync(path)
  await t.rejects(Promise.resolve(get('nats')?.staged()), /nats-server .* is not on the control machine/)
})
