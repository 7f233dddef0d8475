import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '@fleetgate/contracts'
import mongoose, { type Connection, type Model, type Schema } from 'mongoose'
import { connectionOptions, type Journal } from './connectionOptions.js'
import { isOutage, reportOutages, reportOutagesOf } from './outages.js'
import { type SealedPlace, type SealedTexts, sealedPlace } from './sealedPlace.js'
import { createIndexes } from './syncIndexes.js'

export interface StoreOptions {
  /** A unix socket is written percent-encoded: mongodb://%2Frun%2Fengine.sock */
  uri: string
  database: string
  /** When a write counts as done; by default `journal` on a unix socket (the embedded engine), else `majority`. */
  journal?: Journal
  log: Log
}

export interface Store {
  readonly connection: Connection
  /** A model on a collection of exactly this name. Filters on paths that the schema lacks throw. */
  model<T>(name: string, schema: Schema<T>): Model<T>
  /** Says where documents of a model hold sealed texts, so that they are sealed anew when the key changes. */
  declareSealed<T>(model: Model<T>, texts: SealedTexts<T>): void
  readonly sealedPlaces: readonly SealedPlace[]
  /** Creates the indexes of every model made so far. Once at boot, after the models. */
  sync(): Promise<void>
  /** Whether the database answers now. */
  ready(): Promise<boolean>
  close(): Promise<void>
}

const reachableWithinMs = 30_000
const againMs = 250
const pingMs = 1_000

/** Connects, trying for 30 s; a database that goes away later is waited for within each operation. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const connection = await connect(options)
  const sealedPlaces: SealedPlace[] = []

  return {
    connection,

    model<T>(name: string, schema: Schema<T>): Model<T> {
      schema.set('strictQuery', 'throw').set('versionKey', false).set('id', false)
      reportOutages(schema)
      const model = connection.model<T>(name, schema, name)
      reportOutagesOf(model.collection)
      return model
    },

    declareSealed<T>(model: Model<T>, texts: SealedTexts<T>): void {
      sealedPlaces.push(sealedPlace(model, texts))
    },

    sealedPlaces,

    async sync() {
      for (const model of Object.values(connection.models)) {
        await patiently(() => createIndexes(model, options.log))
      }
    },

    ready: () => ping(connection),

    close: () => connection.destroy()
  }
}

/** A database that goes away in the middle of a start is waited for like one that is not there yet. */
async function patiently(work: () => Promise<void>): Promise<void> {
  for (const deadline = Date.now() + reachableWithinMs; ; await sleep(againMs)) {
    try {
      return await work()
    } catch (error) {
      if (!isOutage(error as Error) || Date.now() >= deadline) throw error
    }
  }
}

/** The driver itself would wait for a server as long as an operation does. */
async function ping(connection: Connection): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, pingMs, false)
  })
  const answer = connection.getClient().db('admin').command({ ping: 1 })
  const isThere = answer.then(
    () => true,
    () => false
  )
  return Promise.race([isThere, tooLate]).finally(() => clearTimeout(timer))
}

async function connect({ uri, database, journal, log }: StoreOptions): Promise<Connection> {
  const deadline = Date.now() + reachableWithinMs
  for (;;) {
    const connection = mongoose.createConnection()
    try {
      return await connection.openUri(uri, connectionOptions(uri, database, journal))
    } catch (error) {
      await connection.destroy().catch(() => undefined)
      if (Date.now() >= deadline) throw new Error(`the database ${database} cannot be reached`, { cause: error })
      log.warn({ err: error, database }, 'database not reachable, trying again')
      await sleep(againMs)
    }
  }
}
