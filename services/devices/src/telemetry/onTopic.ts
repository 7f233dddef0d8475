import { AppError, type Delivered, type UplinkMessage } from '@fleetgate/kit'
import type { Device } from '../devices/device.js'
import type { DeviceStore } from '../devices/deviceStore.js'
import type { Register } from '../devices/register.js'
import type { Settle } from '../devices/settle.js'
import { deviceKey } from '../entities/entityKeys.js'
import type { Checked, Measured } from '../entities/ingest.js'
import type { Parts } from '../entities/recorder.js'
import { blueprintOf } from '../templates/blueprint.js'
import { mqttDevice, type Template } from '../templates/template.js'
import type { TemplateStore } from '../templates/templateStore.js'
import { type Reader, readerOf } from './readMessage.js'
import { createTally, type Tally } from './tally.js'

export interface OnTopicOptions {
  templates: Pick<TemplateStore, 'all' | 'addTraffic'>
  devices: Pick<DeviceStore, 'findByKeys'>
  register: Register
  settle: Settle
  /** Of one batch: tells good values from others. */
  checks: (tenantId: string) => (measured: Measured[]) => Promise<Checked>
  parts: (tenantId: string) => Parts
}

type Message = Delivered<UplinkMessage>
type Ready = Template & { reader: Reader }

/** A message that a template may be for, and the device it names. */
interface Match {
  message: Message
  template: Ready
  device: string
}

const createdAtOnce = 8
/** Messages that go together into the history, while the next ones are read. */
const atOnce = 500
/** Values that are held until they are told of; a message may bring hundreds. */
const maxHeld = 50_000

/**
 * What devices published, batch by batch: their values are stored when this resolves. Whatever is wrong with a message is
 * told on its template and never holds up the others; a rejection says that a part of ours is away, and all come again.
 */
export function createOnTopic({ templates, devices, register, settle, checks, parts }: OnTopicOptions) {
  return async (batch: readonly Message[]): Promise<void> => {
    for (const tenantId of new Set(batch.map(({ data }) => data.tenantId))) {
      await takeAll(
        tenantId,
        batch.filter(({ data }) => data.tenantId === tenantId)
      )
    }
  }

  async function takeAll(tenantId: string, messages: Message[]): Promise<void> {
    const ready = (await templates.all(tenantId)).map((one) => ({ ...one, reader: readerOf(one) }))
    if (ready.length === 0) return
    const tally = createTally()
    const check = checks(tenantId)
    let { add, end } = parts(tenantId)
    let held = 0
    const known = new Map<string, Device>()
    for (let begin = 0; begin < messages.length; begin += atOnce) {
      const some = messages.slice(begin, begin + atOnce)
      const matches = some.flatMap((message) => matchesOf(message, ready, tally))
      if (matches.length === 0) continue
      await meet(tenantId, matches, known)
      const { measured, sources } = measure(matches, known, tally)
      const { taken, refused } = await check(measured)
      tally.refuse(refused, sources)
      if (taken.length === 0) continue
      await add(taken)
      held += taken.length
      if (held < maxHeld) continue
      await end()
      held = 0
      ;({ add, end } = parts(tenantId))
    }
    await end()
    await templates.addTraffic(tenantId, tally.ofTemplates)
  }

  /** Adds the devices that are not known yet, those of before and those made now. Each has its entities. */
  async function meet(tenantId: string, matches: Match[], known: Map<string, Device>): Promise<void> {
    const names = [...new Set(matches.map(({ device }) => device))].filter((name) => !known.has(name))
    if (names.length === 0) return
    await find(tenantId, names, known)
    const wanted = new Map<string, Template>()
    for (const { device, template } of matches) {
      if (template.autoCreate && !known.has(device) && !wanted.has(device)) wanted.set(device, template)
    }
    if (wanted.size === 0) return
    const making = [...wanted]
    while (making.length > 0) {
      await Promise.all(making.splice(0, createdAtOnce).map(([device, template]) => make(tenantId, device, template)))
    }
    await find(tenantId, [...wanted.keys()], known)
  }

  async function make(tenantId: string, device: string, template: Template): Promise<void> {
    const owner = { tenantId, userId: '', name: device, integration: mqttDevice }
    try {
      await register(owner, blueprintOf(template, device))
    } catch (error) {
      // Another replica, or a person, was faster.
      if (!(error instanceof AppError) || error.code !== 'conflict') throw error
    }
  }

  /** A device that waits for its entities would lose its values: they are made first. */
  async function find(tenantId: string, names: string[], known: Map<string, Device>): Promise<void> {
    const keys = names.map((name) => deviceKey(mqttDevice, name))
    let found = await devices.findByKeys(tenantId, keys)
    const waiting = found.filter(({ isUnsettled }) => isUnsettled)
    if (waiting.length > 0) {
      for (const { device } of waiting) await settle(device.id)
      found = await devices.findByKeys(tenantId, keys)
      if (found.some(({ isUnsettled }) => isUnsettled)) {
        throw new AppError('unavailable', 'a device has not all of its entities yet')
      }
    }
    for (const { device } of found) known.set(device.identifier, device)
  }
}

function matchesOf(message: Message, ready: Ready[], tally: Tally): Match[] {
  return ready.flatMap((template) => {
    const match = template.reader.match(message.data.topic)
    if (match === undefined) return []
    if ('device' in match) return [{ message, template, device: match.device }]
    tally.broken(template, message.data, match.reason)
    return []
  })
}

/** A device hears only the topic of its own template; `sources` says of each value where it came from. */
function measure(matches: Match[], known: Map<string, Device>, tally: Tally) {
  const measured: Measured[] = []
  const sources: { template: Template; message: UplinkMessage }[] = []
  for (const { message, template, device } of matches) {
    const { data } = message
    const owner = known.get(device)
    if (!owner) tally.broken(template, data, 'names a device that nobody added')
    if (owner?.template !== template.id) continue
    try {
      const { values, at = arrivalOf(message) } = template.reader.read(data.payload)
      tally.taken(template, data, values.length)
      for (const { entity, value } of values) {
        measured.push({ key: `${owner.key}.${entity}`, value, at })
        sources.push({ template, message: data })
      }
    } catch (error) {
      tally.broken(template, data, (error as Error).message)
    }
  }
  return { measured, sources }
}

/**
 * Two messages without a time of their own may come in the same millisecond, and one entity has one value at one moment:
 * their places in the stream keep them apart, the same ones when a message comes again.
 */
function arrivalOf({ data, sequence }: Message): number {
  return data.receivedAt + (sequence % 1000) / 1000
}
