import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import type { Duplex, Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { findOnPath } from '../profiles/findOnPath.js'
import { hashOf, type StagedFile } from '../profiles/profile.js'

/**
 * How a file travels to many hosts: packed once, so that fewer bytes are enciphered here, sent, and deciphered there. The best
 * comes first; each is also the name of the program that undoes it.
 */
export const packings = ['zstd', 'gzip'] as const
type Packing = (typeof packings)[number]

/** Larger files are archives of their own kind. Packed ones are kept in memory for as long as this process lives. */
const largest = 128 * 1024 * 1024
/** Packing must win something. */
const worthwhile = 0.9

export interface Travelling {
  input: Buffer | Readable
  /** The command that makes the file of its standard input. */
  unpack: string
  /** The command fails where what comes is not all, or not what was packed. */
  isChecked: boolean
}

const known = new Map<string, Promise<Buffer | undefined>>()

/** A file in the best form that both sides know; as it is where there is none. */
export async function packedFor(file: StagedFile, unpacks: readonly string[]): Promise<Travelling> {
  for (const packing of file.bytes > largest ? [] : packings) {
    const input = unpacks.includes(packing) ? await packedBy(packing, file) : undefined
    if (input) return { input, unpack: `${packing} -dc`, isChecked: true }
  }
  return { input: createReadStream(file.path), unpack: 'cat', isChecked: false }
}

/** Nothing where this machine cannot do it, or it is not worth it. */
function packedBy(packing: Packing, file: StagedFile): Promise<Buffer | undefined> {
  const key = `${packing} ${file.sha256}`
  let packed = known.get(key)
  if (!packed) {
    packed = pack(packing, file).catch(() => undefined)
    known.set(key, packed)
  }
  return packed
}

async function pack(packing: Packing, { path, bytes, sha256 }: StagedFile): Promise<Buffer | undefined> {
  const packed = packing === 'gzip' ? await through(path, zlib.createGzip({ level: 1 })) : await zstd(path)
  if (!packed || packed.length >= bytes * worthwhile) return undefined
  // A file that was replaced meanwhile would come whole, but under the name of the other.
  return (await hashOf(path)) === sha256 ? packed : undefined
}

/** Node itself can from 22.15 on; before that by the program, where there is one. */
async function zstd(path: string): Promise<Buffer | undefined> {
  const { createZstdCompress, constants } = zlib as {
    createZstdCompress?: (options: { params: Record<number, number> }) => Duplex
    constants: { ZSTD_c_checksumFlag?: number }
  }
  // The program adds a checksum by itself.
  if (createZstdCompress)
    return through(path, createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag ?? 201]: 1 } }))
  const program = findOnPath('zstd', process.env.PATH)
  if (!program) return undefined
  const run = promisify(execFile)
  const { stdout } = await run(program, ['-q', '-c', path], { encoding: 'buffer', maxBuffer: largest })
  return stdout
}

async function through(path: string, packer: Duplex): Promise<Buffer> {
  const chunks: Buffer[] = []
  await pipeline(createReadStream(path), packer, async (packed) => {
    for await (const chunk of packed) chunks.push(chunk as Buffer)
  })
  return Buffer.concat(chunks)
}
