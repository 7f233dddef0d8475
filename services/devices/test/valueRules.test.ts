import fc from 'fast-check'
import t from 'tap'
import { checkAttribute } from '../src/entities/attributeRules.js'
import { createCheck } from '../src/entities/ingest.js'
import { fromBson, toBson, toWire, type ValueType, valueTypes } from '../src/entities/storedValue.js'
import { checkValue, round } from '../src/entities/valueRules.js'
import { wholeReach } from '../src/grants/reach.js'
import { readerOf } from '../src/telemetry/readMessage.js'
import { fromDevice, toDevice } from '../src/templates/conversion.js'

function valueFor(valueType: ValueType, given: unknown, attribute: Record<string, unknown> = {}) {
  const checked = checkValue({ valueType, attribute }, given)
  return 'reason' in checked ? `refused: ${checked.reason}` : checked.value
}

t.test('converts to the type of the entity, and refuses what is none', async (t) => {
  const cases: [ValueType, unknown, unknown][] = [
    ['STRING', 'text', 'text'],
    ['STRING', 5, '5'],
    ['LONG', 5, 5n],
    ['LONG', '-9223372036854775808', -(2n ** 63n)],
    ['LONG', '+7', 7n],
    ['DOUBLE', 1.5, 1.5],
    ['DOUBLE', '-.5e1', -5],
    ['BOOLEAN', true, true],
    ['BOOLEAN', 'FALSE', false],
    ['BINARY', 'AQID', 'AQID']
  ]
  for (const [type, given, kept] of cases) t.equal(valueFor(type, given), kept, `${type} ${given}`)
  const bad: [ValueType, unknown][] = [
    ['STRING', {}],
    ['STRING', ['a']],
    ['LONG', 1.5],
    ['LONG', 2 ** 53],
    ['LONG', '9223372036854775808'],
    ['LONG', '0x10'],
    ['LONG', ''],
    ['LONG', true],
    ['DOUBLE', 'NaN'],
    ['DOUBLE', Number.POSITIVE_INFINITY],
    ['DOUBLE', ''],
    ['DOUBLE', '1e999'],
    ['BOOLEAN', 1],
    ['BOOLEAN', 'yes'],
    ['BINARY', 'a'],
    ['BINARY', 'a b='],
    ['OBJECT', {}]
  ]
  for (const [type, given] of bad) t.match(valueFor(type, given), `refused: is no ${type}`, `${type} ${given}`)
})

t.test('holds values against their attribute', async (t) => {
  const cases: [ValueType, unknown, Record<string, unknown>, unknown][] = [
    ['DOUBLE', null, { optional: true }, undefined],
    ['DOUBLE', null, {}, 'refused: is required'],
    ['LONG', '', { optional: true, min: 5 }, undefined],
    ['DOUBLE', '', { optional: true }, undefined],
    ['BOOLEAN', '', { optional: true }, undefined],
    ['STRING', '', { optional: true, min_length: 3 }, ''],
    ['STRING', '', { optional: true, length_range: '2,4' }, ''],
    ['STRING', '', { optional: true, enum: { on: 'On' } }, ''],
    ['STRING', '', { optional: true, format: 'HEX' }, ''],
    ['STRING', '', { min_length: 3 }, 'refused: is shorter than 3 characters'],
    ['STRING', '', { format: 'HEX' }, 'refused: is not hexadecimal'],
    ['LONG', '', {}, 'refused: is no LONG'],
    ['LONG', 5, { min: 5, max: 5 }, 5n],
    ['LONG', 4, { min: '5' }, 'refused: is less than 5'],
    ['DOUBLE', 5.1, { max: 5 }, 'refused: is greater than 5'],
    ['DOUBLE', 5.04, { max: 5, fraction_digits: 1 }, 5],
    ['DOUBLE', 5.05, { max: 5, fraction_digits: 1 }, 'refused: is greater than 5'],
    ['STRING', 'ab', { min_length: 3 }, 'refused: is shorter than 3 characters'],
    ['STRING', '🙂🙂', { max_length: 2 }, '🙂🙂'],
    ['STRING', 'abc', { max_length: 2 }, 'refused: is longer than 2 characters'],
    ['STRING', 'abc', { length_range: '2,4' }, 'refused: must have 2,4 characters'],
    ['STRING', 'on', { enum: { on: 'On', off: 'Off' } }, 'on'],
    ['STRING', 'toString', { enum: { on: 'On' } }, 'refused: must be one of on'],
    ['LONG', 7, { enum: { 0: 'No' } }, 7n],
    ['STRING', '0aFF', { format: 'HEX' }, '0aFF'],
    ['STRING', '0aF', { format: 'HEX' }, 'refused: is not hexadecimal'],
    ['STRING', 'http://a/b.png', { format: 'IMAGE' }, 'http://a/b.png'],
    ['STRING', 'javascript:1', { format: 'IMAGE:URL' }, 'refused: is no URL of an image'],
    ['STRING', 'data:image/png;base64,AA==', { format: 'IMAGE:BASE64' }, 'data:image/png;base64,AA=='],
    ['STRING', 'a1', { format: 'REGEX:[a-z]\\d' }, 'a1'],
    ['STRING', 'xa1', { format: 'REGEX:[a-z]\\d' }, 'refused: does not match its pattern'],
    ['STRING', 'x', { format: 'REGEX:(' }, 'refused: does not match its pattern']
  ]
  for (const [type, given, attribute, kept] of cases) {
    t.equal(valueFor(type, given, attribute), kept, `${type} ${given} ${JSON.stringify(attribute)}`)
  }
})

t.test('a pattern without end holds up nobody', async (t) => {
  const begun = performance.now()
  t.match(valueFor('STRING', `${'a'.repeat(40)}!`, { format: 'REGEX:(a+)+' }), 'refused')
  t.ok(performance.now() - begun < 5000)
})

t.test('many values of a pattern without end hold up nobody either', async (t) => {
  const entity = { id: '1', key: 'k', type: 'PROPERTY', valueType: 'STRING', attribute: { format: 'REGEX:(b+)+' } }
  const entities = { findByIds: async () => [entity as never], findByKeys: async () => [] }
  const check = createCheck({ entities, now: Date.now }, { tenantId: 't', reach: wholeReach })
  const measured = Array.from({ length: 400 }, () => ({ id: '1', value: `${'b'.repeat(40)}!` }))
  let turns = 0
  const ticking = setInterval(() => {
    turns += 1
  }, 1)
  t.teardown(() => clearInterval(ticking))
  const begun = process.cpuUsage()
  t.equal((await check(measured)).refused.length, 400)
  t.ok(process.cpuUsage(begun).user < 10_000_000, 'less than 50 ms for each')
  t.ok(turns > 5, 'others had their turn meanwhile')
})

t.test('what devices say is read in decimals and in UTC, and what is no time is none', async (t) => {
  const tenths = { factor: 0.1 }
  t.equal(fromDevice(3, tenths, false), 0.3)
  t.equal(toDevice(0.7, tenths), 7)
  t.equal(toDevice(21.5, { factor: 0.1, offset: -40 }), 615)
  t.equal(toDevice(0.1234567890123456, { map: { on: true } }), 0.1234567890123456, 'with no factor as it is')
  t.equal(fromDevice(1e15, { factor: 1, offset: 1 }, true), 1e15 + 1)
  t.equal(fromDevice(' ', { offset: 5 }, false), ' ', 'a blank is no number')
  const zone = process.env.TZ
  process.env.TZ = 'Asia/Tokyo'
  t.teardown(() => {
    if (zone === undefined) delete process.env.TZ
    else process.env.TZ = zone
  })
  const timeIn = (unit: 'ms' | 's' | 'iso', ts: unknown) => {
    const reader = readerOf({ topic: '{device}', timestamp: { pointer: '/ts', unit }, entities: [] })
    return reader.read(Buffer.from(JSON.stringify({ ts }))).at
  }
  for (const text of [
    '1970-01-01T00:00:01',
    '1970-01-01 00:00:01',
    '1970-01-01T00:00:01Z',
    '1970-01-01T01:00:01+01:00'
  ]) {
    t.equal(timeIn('iso', text), 1000, text)
  }
  t.equal(timeIn('s', '1.5'), 1500)
  t.equal(timeIn('ms', null), undefined)
  for (const [unit, ts] of [
    ['s', []],
    ['ms', ' '],
    ['ms', [5]],
    ['s', true],
    ['iso', 2026],
    ['iso', 'noon']
  ] as const) {
    t.throws(() => timeIn(unit, ts), /timestamp/, JSON.stringify(ts))
  }
})

/** Reproducible numbers, so that a failure can be looked at again. */
function createRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1664525 + 1013904223) % 2 ** 32
    return Math.floor((state / 2 ** 32) * below)
  }
}

t.test('whatever is given: what is kept is in range and stays itself, everything else has a reason', async (t) => {
  const random = createRandom(7)
  const types: ValueType[] = ['STRING', 'LONG', 'DOUBLE', 'BOOLEAN', 'BINARY', 'OBJECT']
  const givens = [
    () => random(2000) - 1000,
    () => (random(2_000_000) - 1_000_000) / 1000,
    () => String(random(2000) - 1000),
    () => String.fromCodePoint(...Array.from({ length: random(8) }, () => 32 + random(0x2000))),
    () => random(2) === 1,
    () => [null, undefined, {}, [], { $gt: '' }, Number.NaN, Symbol.iterator.description, -0, 1e308][random(9)],
    () => (BigInt(random(2 ** 31)) * BigInt(random(2 ** 31)) * 8n).toString(),
    () => Buffer.from([random(256), random(256), random(256)]).toString('base64')
  ]
  let kept = 0
  for (let i = 0; i < 20_000; i++) {
    const valueType = types[random(types.length)] ?? 'STRING'
    const [low, high] = [random(1500) - 1000, random(1500) - 500]
    const attribute = {
      ...(random(2) ? { min: low } : {}),
      ...(random(2) ? { max: high } : {}),
      ...(random(2) ? { fraction_digits: random(4) } : {}),
      ...(random(2) ? { max_length: random(8) } : {}),
      ...(random(2) ? { optional: true } : {})
    }
    const given = givens[random(givens.length)]?.()
    const checked = checkValue({ valueType, attribute }, given)
    const what = () => `${valueType} ${JSON.stringify(attribute)} ${String(given)}`
    if ('reason' in checked) {
      if (checked.reason.length === 0) t.fail(what())
      continue
    }
    const { value } = checked
    if (value === undefined) {
      if (attribute.optional !== true) t.fail(what())
      continue
    }
    kept += 1
    if (typeof value === 'number' || typeof value === 'bigint') {
      if (attribute.min !== undefined && value < attribute.min) t.fail(what())
      if (attribute.max !== undefined && value > attribute.max) t.fail(what())
    }
    if (
      valueType === 'STRING' &&
      attribute.max_length !== undefined &&
      [...String(value)].length > attribute.max_length
    ) {
      t.fail(what())
    }
    const again = checkValue({ valueType, attribute }, toWire(value))
    if ('reason' in again || again.value !== value) t.fail(`not itself: ${what()}`)
    if (fromBson(valueType, toBson(valueType, value)) !== value && !Object.is(value, -0)) t.fail(`stored: ${what()}`)
  }
  t.ok(kept > 2000, `${kept} were kept`)
})

t.test('rounds half up by decimal digits', async (t) => {
  t.equal(round(1.005, 2), 1.01)
  t.equal(round(-1.005, 2), -1.01)
  t.equal(round(2.5, 0), 3)
  t.equal(round(1e300, 5), 1e300)
  t.equal(round(1e-9, 3), 0)
  t.equal(round(1.5, undefined), 1.5)
})

t.test('refuses attributes that no value could be held against', async (t) => {
  const bad: Record<string, unknown>[] = [
    { min: 'a' },
    { min: 2, max: 1 },
    { min_length: -1 },
    { min_length: 3, max_length: 2 },
    { length_range: '1;2' },
    { enum: ['a'] },
    { enum: { a: 1 } },
    { enum: Object.fromEntries(Array.from({ length: 101 }, (_, i) => [i, 'x'])) },
    { format: 'WORD' },
    { format: 'REGEX:(' },
    { fraction_digits: 16 },
    { optional: 'yes' },
    { unit: 'u'.repeat(16) },
    { other: 'x'.repeat(17_000) }
  ]
  for (const attribute of bad) {
    t.throws(
      () => checkAttribute(attribute),
      { code: 'invalid_input', message: /value_attribute/ },
      JSON.stringify(attribute).slice(0, 60)
    )
  }
  t.doesNotThrow(() => checkAttribute({ min: '1', max: 2, unit: '°C', enum: { a: 'A' }, important: 3, format: '' }))
})

interface TextRules {
  length_range?: string
  enum?: object
  format?: string
}

/** The rules of texts, told in another way. */
function fitsText(text: string, { length_range, enum: labels, format }: TextRules): boolean {
  const isOfLength = length_range === undefined || `,${length_range},`.includes(`,${[...text].length},`)
  const isNamed = labels === undefined || Object.hasOwn(labels, text)
  return isOfLength && isNamed && (format !== 'HEX' || Buffer.from(text, 'hex').toString('hex') === text.toLowerCase())
}

t.test('whatever is given is refused with a reason or kept, and what is kept survives store and wire', async (t) => {
  const given = fc.oneof(
    fc.jsonValue(),
    fc.bigInt().map(String),
    fc.double(),
    fc.base64String(),
    fc.constantFrom('on', 'off', '0aFF', '0aF', '', undefined)
  )
  const attribute = fc.record(
    {
      min: fc.integer({ min: -1000, max: 0 }),
      max: fc.integer({ min: 0, max: 1000 }),
      min_length: fc.nat(3),
      max_length: fc.integer({ min: 3, max: 50 }),
      length_range: fc.constantFrom('2', '2,4', '3,6'),
      enum: fc.constantFrom({ on: 'On', off: 'Off' }, { '0aFF': 'Two bytes' }),
      fraction_digits: fc.nat(6),
      optional: fc.boolean(),
      format: fc.constantFrom('HEX', 'HEX', 'IMAGE', 'REGEX:[a-z]*')
    },
    { requiredKeys: [] }
  )
  fc.assert(
    fc.property(fc.constantFrom(...valueTypes), given, attribute, (valueType, value, attribute) => {
      const checked = checkValue({ valueType, attribute }, value)
      if ('reason' in checked) return checked.reason.length > 0
      if (checked.value === undefined) return attribute.optional === true && (value ?? '') === ''
      if (value === '' && attribute.optional === true) return checked.value === ''
      if (valueType === 'STRING' && !fitsText(String(checked.value), attribute)) return false
      const stored = fromBson(valueType, toBson(valueType, checked.value))
      const again = checkValue({ valueType, attribute }, toWire(checked.value))
      const isInRange =
        (valueType !== 'LONG' && valueType !== 'DOUBLE') ||
        (Number(checked.value) >= (attribute.min ?? Number.NEGATIVE_INFINITY) &&
          Number(checked.value) <= (attribute.max ?? Number.POSITIVE_INFINITY))
      return isInRange && Object.is(stored, checked.value) && 'value' in again && Object.is(again.value, checked.value)
    }),
    { numRuns: 5000 }
  )
  t.pass('held for 5,000 samples')
})
