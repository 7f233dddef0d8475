import type { ConnectOptions } from 'mongoose'

/** `journal`: this server has it in its journal; `majority`: a majority of the replica set has it. */
export type Journal = 'journal' | 'majority'

/** Settings of a connection. The embedded engine is a standalone server without sessions, so no retryable writes. */
export function connectionOptions(uri: string, dbName: string, journal?: Journal): ConnectOptions {
  const isSocket = isUnixSocket(uri)
  const level = journal ?? (isSocket ? 'journal' : 'majority')
  return {
    dbName,
    autoIndex: false,
    autoCreate: false,
    // Not buffered by mongoose: the driver itself waits for a server to come back.
    bufferCommands: false,
    serverSelectionTimeoutMS: 10_000,
    maxPoolSize: isSocket ? 16 : 50,
    writeConcern: level === 'journal' ? { w: 1, journal: true } : { w: 'majority', wtimeoutMS: 10_000 },
    ...(isSocket ? { directConnection: true, retryWrites: false } : {})
  }
}

export function isUnixSocket(uri: string): boolean {
  return /^mongodb:\/\/(?:[^@/]*@)?%2f/i.test(uri)
}
