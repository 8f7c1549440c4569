/*
 * The flat guest's first and last resort: entry, stacks, interrupt stubs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All processors run in 32-bit protected mode without paging: an address in
 * the program is the physical one, so a test may name any register.
 */

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0
#define CODE_SEGMENT    0x08
#define DATA_SEGMENT    0x10
#define CR0_PE          0x1
#define AP_BASE         0x8000          /* the SIPI vector is AP_BASE >> 12 */
#define STACK_SIZE      4096

        .section .multiboot, "a"
        .balign 4
        .long   MULTIBOOT_MAGIC, MULTIBOOT_FLAGS
        .long   -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

        .text
        .code32
        .global start
start:
        cli
        lgdt    gdt_pointer
        ljmp    $CODE_SEGMENT, $enter

/*
 * Every processor comes by here.  The first to arrive is number 0: it is
 * alone until it starts the others, one at a time.
 */
enter:
        mov     $DATA_SEGMENT, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %fs
        mov     %ax, %gs
        mov     %ax, %ss
        mov     $1, %eax
        lock xadd %eax, arrived
        mov     %eax, %ecx
        inc     %ecx
        imul    $STACK_SIZE, %ecx
        lea     stacks(%ecx), %esp
        lidt    idt_pointer
        fninit
        push    %eax
        call    processor_main
1:      hlt
        jmp     1b

/* Copied to AP_BASE: where an application processor starts, in real mode. */
        .global ap_start, ap_end
        .code16
ap_start:
        cli
        xor     %ax, %ax
        mov     %ax, %ds
        lgdtl   AP_BASE + (ap_gdt_pointer - ap_start)
        mov     %cr0, %eax
        or      $CR0_PE, %eax
        mov     %eax, %cr0
        ljmpl   $CODE_SEGMENT, $enter
        .balign 4
ap_gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
ap_end:
        .code32

/* One stub per vector; exceptions 8, 10-14, 17, 21 push an error code. */
        .altmacro
        .macro  stub vector
        .balign 16
        .if     (\vector == 8) || (\vector >= 10 && \vector <= 14) || \
                (\vector == 17) || (\vector == 21)
        .else
        push    $0
        .endif
        push    $\vector
        jmp     common
        .endm

        .balign 16
        .global stubs
stubs:
        .set    i, 0
        .rept   256
        stub    %i
        .set    i, i + 1
        .endr

common:
        pusha
        cld
        push    32(%esp)                /* the vector, under what pusha left */
        call    interrupt
        add     $4, %esp
        popa
        add     $8, %esp                /* the vector and the error code */
        iret

        .data
        .balign 8
gdt:
        .quad   0
        .quad   0x00cf9a000000ffff      /* code: 4 GiB, read and execute */
        .quad   0x00cf92000000ffff      /* data: 4 GiB, read and write */
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
idt_pointer:
        .word   256 * 8 - 1
        .long   idt
        .global arrived
arrived:
        .long   0

        .bss
        .balign 16
stacks:
        .skip   STACK_SIZE * 8

        .section .note.GNU-stack, "", @progbits
