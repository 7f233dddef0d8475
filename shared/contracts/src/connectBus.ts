import type { Bus, BusOptions, ConsumeOptions, Delivered, Subscription } from './bus.js'
import type { UplinkMessage } from './messages.js'
import { type DurableOptions, startConsumer } from './nats/consumer.js'
import { openLink } from './nats/link.js'
import { createPublisher } from './nats/publisher.js'
import type { Pulled } from './nats/pulled.js'
import { request, serve } from './nats/rpc.js'
import { listen, signal } from './nats/signals.js'
import { openStreams, streamNames } from './nats/streams.js'
import { startWatch } from './nats/watch.js'
import {
  addUplinkHeaders,
  commandSubject,
  decodePayload,
  encodePayload,
  eventSubject,
  readUplink,
  uplinkFilter,
  uplinkSubject
} from './nats/wire.js'
import type { Static, TSchema } from './schema.js'

const closeWithinMs = 2_000

/** Connects to NATS, waiting for it as long as it takes, and makes sure of the streams. */
export async function connectBus(options: BusOptions): Promise<Bus> {
  const { log } = options
  const link = await openLink(options)
  const manager = await openStreams(link.connection, log).catch(async (error) => {
    await link.connection.close()
    throw error
  })
  const { publish } = createPublisher(link)
  const parts = { link, manager, log }
  const running = new Set<Subscription>()

  /** Remembers what runs, so that close() can stop it. */
  async function run(starting: Promise<Subscription>): Promise<Subscription> {
    const started = await starting
    const kept = {
      stop: async () => {
        running.delete(kept)
        await started.stop()
      }
    }
    running.add(kept)
    return kept
  }

  function consume<S extends TSchema>(
    place: Pick<DurableOptions<unknown>, 'stream' | 'filters'>,
    schema: S,
    settings: ConsumeOptions,
    handle: (batch: Delivered<Static<S>>[]) => Promise<void>
  ): Promise<Subscription> {
    const decode = (message: Pulled): Static<S> => decodePayload(schema, message.data)
    return run(startConsumer(parts, { ...place, ...settings, decode, handle }))
  }

  return {
    connection: link.connection,
    jetstream: link.connection.jetstream(),
    manager,
    isReady: link.isUp,
    publish: async (contract, data, settings) =>
      publish(eventSubject(contract), encodePayload(contract.data, data), settings),
    command: async (contract, data, settings) =>
      publish(commandSubject(contract), encodePayload(contract.data, data), settings),
    uplink: async (message, settings) =>
      publish(uplinkSubject(message), message.payload, settings, (made) => addUplinkHeaders(made, message)),
    publishRaw: publish,

    consume: (contract, settings, handle) =>
      consume({ stream: streamNames.events, filters: [eventSubject(contract)] }, contract.data, settings, handle),
    consumeCommands: (contract, settings, handle) =>
      consume({ stream: streamNames.commands, filters: [commandSubject(contract)] }, contract.data, settings, handle),
    consumeUplink(channels, settings, handle) {
      const place = { stream: streamNames.uplink, filters: channels.map(uplinkFilter) }
      const decode = ({ subject, headers, data }: Pulled): UplinkMessage => readUplink(subject, headers, data)
      return run(startConsumer(parts, { ...place, ...settings, decode, handle }))
    },
    watch(contract, { sinceMs }, handle) {
      const show = ({ data, sequence }: Pulled) => {
        try {
          handle(decodePayload(contract.data, data))
        } catch (error) {
          log.error({ err: error, subject: contract.subject, sequence }, 'watched event not handled')
        }
      }
      const place = { stream: streamNames.events, filter: eventSubject(contract), since: Date.now() - sinceMs }
      return run(startWatch(parts, { ...place, handle: show }))
    },

    signal: (contract, tenantId, data) => signal(link, contract, tenantId, data),
    listen: (contract, tenantId, hear) => run(listen({ link, log, contract, tenantId, ...hear })),

    request: (contract, data, settings) => request(link, contract, data, settings),
    serve: (contract, handle) => run(serve(link, options, contract, handle)),

    async close() {
      await Promise.all([...running].map((subscription) => subscription.stop()))
      await drain()
    }
  }

  async function drain(): Promise<void> {
    const { connection } = link
    // Draining needs the server's answer; a server that is away must not keep us.
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeWithinMs)
    })
    if (link.isUp()) await Promise.race([connection.drain(), limit])
    clearTimeout(timer)
    await connection.close()
  }
}
