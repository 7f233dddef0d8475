import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Log } from '@fleetgate/contracts'
import t from 'tap'
import { createSecrets, loadKeyRing, type SealedPlace, startResealing } from '../src/index.js'

const line = (id: string) => `${id}:${randomBytes(32).toString('base64')}`

t.test('secrets', async (t) => {
  const older = line('k1')
  const newer = line('k2')
  const secrets = createSecrets({ keys: loadKeyRing({ value: older }) })

  t.test('open what they sealed', async (t) => {
    for (const plain of ['', 'pass', 'größe 漢字 🚀', 'x'.repeat(100_000)]) {
      t.equal(secrets.open(secrets.seal(plain, 'user:1'), 'user:1'), plain)
    }
  })

  t.test('seal the same text differently each time and show nothing of it', async (t) => {
    const [one, two] = [secrets.seal('hidden', 'c'), secrets.seal('hidden', 'c')]
    t.not(one, two)
    t.notMatch(one, /hidden|aGlkZGVu/)
  })

  t.test('do not open in another place, changed, cut, or with a key that is gone', async (t) => {
    const sealed = secrets.seal('plain', 'user:1')
    const [version, keyId, body = ''] = sealed.split('.')
    const bytes = Buffer.from(body, 'base64url')
    t.throws(() => secrets.open(sealed, 'user:2'), { code: 'internal' })
    for (let index = 0; index < bytes.length; index++) {
      const changed = Buffer.from(bytes)
      changed.writeUInt8(changed.readUInt8(index) ^ 1, index)
      t.throws(() => secrets.open(`${version}.${keyId}.${changed.toString('base64url')}`, 'user:1'), {
        code: 'internal'
      })
    }
    for (const bad of ['', 'plain', `v1.${keyId}.`, `v2.${keyId}.${body}`, `${sealed}.x`, sealed.slice(0, 20)]) {
      t.throws(() => secrets.open(bad, 'user:1'), { code: 'internal' }, bad)
    }
    const others = createSecrets({ keys: loadKeyRing({ value: line('k9') }) })
    t.throws(() => others.open(sealed, 'user:1'), { code: 'internal', message: /k1/ })
  })

  t.test('rotate: an older key opens, the newest seals', async (t) => {
    const rotated = createSecrets({ keys: loadKeyRing({ value: `${newer}\n${older}\n` }) })
    const sealed = secrets.seal('plain', 'c')
    t.equal(rotated.open(sealed, 'c'), 'plain')
    t.match(sealed, rotated.older)
    t.notMatch(rotated.seal('plain', 'c'), rotated.older)
    t.notMatch('', rotated.older)
    t.equal(secrets.older, undefined, 'there is no older key')
  })
})

t.test('sealing anew goes on where a text does not open or is changed meanwhile, and tries again', async (t) => {
  const [older, newer] = [line('k1'), line('k2')]
  const before = createSecrets({ keys: loadKeyRing({ value: older }) })
  const secrets = createSecrets({ keys: loadKeyRing({ value: `${newer}\n${older}` }) })
  const kept = new Map([
    ['moved', before.seal('a', 'elsewhere')],
    ['busy', before.seal('b', 'busy')],
    ['good', before.seal('c', 'good')]
  ])
  let refused = 0
  const place: SealedPlace = {
    name: 'things',
    async *find(pattern) {
      for (const [id, sealed] of kept)
        if (pattern.test(sealed)) yield { id, texts: [{ path: id, sealed, context: id }] }
    },
    async exchange(id, [text]) {
      if (id === 'busy' && refused++ === 0) return false
      kept.set(String(id), text?.after ?? '')
      return true
    }
  }
  const told: unknown[] = []
  const note = (fields: unknown) => void told.push(fields)
  const log = { debug: note, info: note, warn: note, error: note } as unknown as Log
  const resealing = startResealing({ secrets, places: [place], log, everyMs: 1 })
  t.teardown(() => resealing.stop())
  while (told.length < 4) await setTimeout(5)
  await resealing.stop()
  t.match(told, [{ place: 'things', id: 'moved' }, { anew: 1, left: 2 }, { id: 'moved' }, { anew: 1, left: 1 }])
  t.notMatch(JSON.stringify(told), /v1\.k/, 'no sealed text is logged')
  t.same(
    [...kept.values()].map((sealed) => sealed.slice(0, 5)),
    ['v1.k1', 'v1.k2', 'v1.k2']
  )
  t.equal(secrets.open(kept.get('busy') ?? '', 'busy'), 'b')
})

t.test('key ring', async (t) => {
  t.test('is read from a file or a value; comments and empty lines are passed over', async (t) => {
    const file = join(t.testdir(), 'keys')
    writeFileSync(file, `# keys\r\n\r\n${line('new')}\r\n${line('old')}\r\n`)
    for (const source of [{ file }, { value: `${line('new')},${line('old')}` }]) {
      const ring = loadKeyRing(source)
      t.equal(ring.currentId, 'new')
      t.strictSame([...ring.keys.keys()], ['new', 'old'])
    }
  })

  t.test('names the line that is wrong, never what stands in it', async (t) => {
    const short = randomBytes(16).toString('base64')
    for (const [value, message] of [
      [`${line('a')}\nnonsense`, /line 2: expected keyId/],
      [`a:${short}`, /line 1: expected 32 bytes, found 16/],
      [`${line('a')}\n${line('a')}`, /line 2: .*twice/],
      ['# nothing', /no line/],
      ['', /set SECRETS_KEY_FILE or SECRETS_KEY/]
    ] as const) {
      t.throws(() => loadKeyRing({ value }), { message })
    }
    try {
      loadKeyRing({ value: `a:${short}` })
      t.fail('it was taken')
    } catch (error) {
      t.notOk(String(error).includes(short))
    }
    t.throws(() => loadKeyRing({}), { message: /set SECRETS_KEY_FILE/ })
  })
})
