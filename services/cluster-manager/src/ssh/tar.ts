export interface Packed {
  name: string
  content: string | Buffer
}

const block = 512

/** A ustar archive of small files (POSIX.1-1988): what every host can unpack, in one stream. */
export function tar(files: readonly Packed[]): Buffer {
  return Buffer.concat([
    ...files.flatMap(({ name, content }) => entry(name, Buffer.from(content))),
    Buffer.alloc(2 * block)
  ])
}

function entry(name: string, content: Buffer): Buffer[] {
  const header = Buffer.alloc(block)
  header.write(name, 0, 100)
  header.write('0000600\0', 100)
  header.write('0000000\0'.repeat(2), 108)
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124)
  header.write('00000000000\0', 136)
  header.write('        0', 148)
  header.write('ustar\u000000', 257)
  const sum = header.reduce((total, byte) => total + byte, 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return [header, content, Buffer.alloc((block - (content.length % block)) % block)]
}
