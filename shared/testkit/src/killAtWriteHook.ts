import { existsSync, readFileSync, rmSync } from 'node:fs'
import mongoose from 'mongoose'

/**
 * Loaded into a service of its own process: kills it, as `kill -9` does, right after so many writes to the collections named behind the
 * number, as the file KILL_AT says, counted from when the file is there; it is used up by that. See killAtWrite.ts.
 */
const path = process.env.KILL_AT ?? ''
let wanted = 0
let collections: string[] = []
let written = 0

const writes = ['insertOne', 'insertMany', 'updateOne', 'updateMany', 'findOneAndUpdate', 'bulkWrite', 'deleteMany']
const prototype = mongoose.mongo.Collection.prototype as unknown as Record<string, Write>
type Write = (this: { collectionName: string }, ...args: unknown[]) => Promise<unknown>

for (const name of writes) {
  const original = prototype[name] as Write
  prototype[name] = async function write(...args) {
    const result = await original.apply(this, args)
    if (wanted === 0 && existsSync(path)) read()
    if (collections.includes(this.collectionName) && !isRenewal(args)) {
      if (wanted > 0) written += 1
      if (wanted > 0 && written === wanted) {
        rmSync(path)
        process.kill(process.pid, 'SIGKILL')
      }
    }
    return result
  }
}

function read(): void {
  const [count, ...names] = readFileSync(path, 'utf8').split(' ')
  wanted = Number(count)
  collections = names
}

/** Leases are kept all the time, whatever else is done. */
function isRenewal(args: unknown[]): boolean {
  const text = JSON.stringify(args.slice(0, 2))
  return text.includes('lease.until') && !text.includes('"state"')
}
