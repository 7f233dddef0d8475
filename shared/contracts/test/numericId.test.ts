import t from 'tap'
import { newNumericId } from '../src/index.js'

t.test('gives 64-bit numbers that grow, also within one millisecond', async (t) => {
  const now = Date.UTC(2030, 0, 1)
  const ids = Array.from({ length: 2000 }, (_, i) => BigInt(newNumericId(now + Math.floor(i / 500))))
  t.ok(ids.every((id, i) => i === 0 || id > (ids[i - 1] ?? 0n)))
  t.ok(BigInt(newNumericId(Date.UTC(2080, 0, 1))) < 2n ** 63n)
})
